import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { plantBase } from "../helpers/base.ts";
import { makeHost, must, type Outcome, sh } from "../helpers/host.ts";
import { makeTree } from "../helpers/tree.ts";

// What a container that owns its upper can leave there: links to the host in place of every directory that
// veneer handles itself, devices, pipes, a tree too deep for paths, names that are no text.
const host = makeHost();
const victim = mkdtempSync("/srv/veneer-victim-");
const upper = join(host.root, "instances/web1/1/upper");
let before: string;

const manifest = () =>
  must("sh", ["-c", 'cd "$1" && find . -printf "%p %y %m %U:%G %s %T@ %C@ %n\\n" | sort', "sh", victim]);

beforeAll(async () => {
  for (const directory of ["ssh", "keys", "tmp", "deep/er"])
    mkdirSync(join(victim, directory), { recursive: true });
  for (const file of ["passwd", "ssh/key", "keys/own", "machine-id", "version"])
    writeFileSync(join(victim, file), "host");
  before = await manifest();
  for (const version of [1, 2]) {
    const tree = makeTree(join(host.dir, `tree${version}`));
    mkdirSync(join(tree, "etc/keys"));
    mkdirSync(join(tree, "opt/sub/keys"), { recursive: true });
    for (const file of ["etc/keys/host", "etc/machine-id", "etc/version", "opt/sub/keys/host"]) {
      writeFileSync(join(tree, file), `${file} ${version}`);
    }
    writeFileSync(join(tree, `opt/sub/keys/host${version}`), "key");
    plantBase(host, "debian", tree, version);
  }
  const masks = ["--mask", "/etc/keys/*", "--mask", "/etc/machine-id", "--mask", "/opt/sub/keys/*"];
  await host.ok("create", "web1", "debian@1", ...masks);
  for (const name of ["tmp", "root", "etc", "proc", "dev", "var", "opt"]) {
    rmSync(join(upper, name), { recursive: true, force: true });
    symlinkSync(name === "opt" ? `../../../../../../../../../..${victim}` : victim, join(upper, name));
  }
  mkdirSync(join(upper, "home"));
  symlinkSync("loop", join(upper, "home/loop"));
  symlinkSync(victim, join(upper, "home/link"));
  const script = `
    mkfifo pipe; mknod disk b 7 0; mknod null c 1 3; mknod gone c 0 0; : > "$(printf '\\377\\nx')"; cp /bin/busybox s; chmod 6755 s
    exec perl -e 'for (1..600) { mkdir "d123456789"; chdir "d123456789" or die }'`;
  await must("sh", ["-ec", script], { cwd: join(upper, "home") });
}, 120_000);

afterAll(async () => {
  // rm(1) takes paths of any length
  await sh("rm", ["-rf", "--one-file-system", host.root]);
  await host.remove();
  rmSync(victim, { recursive: true });
});

/** Runs the program and makes sure that it reached nothing below the victim. */
async function traced(...args: string[]): Promise<Outcome> {
  const log = join(host.dir, "trace");
  const options = ["-f", "-qq", "-yy", "-s", "400", "-o", log, "-e", "trace=%file,%desc"];
  const outcome = await sh("strace", [...options, join(host.bin, "veneer"), ...args]);
  const reached = readFileSync(log, "latin1")
    .split("\n")
    .filter((line) => line.includes(`"${victim}`) || line.includes(`<${victim}`))
    .filter((line) => !/readlink|symlink|write\(/.test(line));
  expect(reached).toEqual([]);
  expect(await manifest()).toBe(before);
  return outcome;
}

describe("with a hostile upper", () => {
  it("ls, inspect and diff look at the links themselves", async () => {
    expect((await traced("ls", "--json")).status).toBe(0);
    expect((await traced("inspect", "web1", "--json")).status).toBe(0);
    expect((await traced("df", "--json")).status).toBe(0);
    const { status, stdout } = await traced("diff", "web1");
    expect(status).toBe(0);
    const lines = stdout.split("\n");
    for (const line of ["C /etc", "C /tmp", "C /root", "C /proc", "A /home/link", "A /home/\\xff\\x0ax"]) {
      expect(lines).toContain(line);
    }
    expect(lines.filter((line) => line.includes("passwd"))).toEqual([]);
  });

  it("rebase writes no whiteout through a link", async () => {
    expect((await traced("rebase", "web1", "debian@2")).status).toBe(0);
    expect((await traced("rebase", "web1", "debian@1")).status).toBe(0);
  });

  it("clone and commit copy the links", async () => {
    expect(await traced("clone", "web1", "web2")).toMatchObject({ status: 0, stdout: "web2" });
    expect(await must("readlink", [join(host.root, "instances/web2/1/upper/etc")])).toBe(victim);
    expect(await traced("commit", "web1", "apps")).toMatchObject({ status: 0, stdout: "apps@1" });
    // a base that has such links serves instances that write through none of them
    expect((await traced("create", "web3", "apps", "--opaque", "/tmp", "--mask", "/etc/passwd")).status).toBe(
      0,
    );
    expect((await traced("rm", "web3")).status).toBe(0);
  });

  it("mount, cutover, fallback and umount touch nothing else", async () => {
    expect((await traced("mount", "web1")).status).toBe(0);
    expect((await traced("cutover", "web1", "debian@2")).status).toBe(0);
    expect(readdirSync(join(host.run, "mnt/web1/tmp"))).toEqual([]);
    expect((await traced("fallback", "web1")).status).toBe(0);
    expect((await traced("umount", "web1")).status).toBe(0);
  });

  it("rm and gc delete the links, not what they lead to", async () => {
    for (const id of ["web1", "web2"]) expect((await traced("rm", id)).status).toBe(0);
    expect((await traced("base", "rm", "apps")).status).toBe(0);
    expect((await traced("gc")).status).toBe(0);
    await expect.poll(() => readdirSync(join(host.root, "trash"))).toEqual([]);
    expect(await manifest()).toBe(before);
    expect(existsSync(upper)).toBe(false);
  });
});
