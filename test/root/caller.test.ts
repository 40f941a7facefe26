/** What callers happen to have: a umask, a working directory that is gone, names of any bytes, a full output. */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { makeHost, must, type Outcome, sh } from "../helpers/host.ts";
import { makeTree } from "../helpers/tree.ts";

const host = makeHost();
beforeAll(async () => {
  makeTree(join(host.dir, "tree"));
  await host.ok("base", "import", "b", join(host.dir, "tree"));
});
afterAll(() => host.remove());

/** A shell's script in the host's directory, in which `veneer` is ours. */
const shell = (script: string): Promise<Outcome> => {
  const own = `veneer() { ${host.bin}/veneer --root ${host.root} --run ${host.run} "$@"; }; `;
  return sh("sh", ["-c", own + script], { cwd: host.dir });
};

describe("a umask of 077", () => {
  it("is not that of bases, volumes' mount points and containers", async () => {
    const done = await shell(`umask 077
      veneer base edit b -- sh -c 'mkdir -p /srv/www; echo hi >/srv/www/index'
      mkdir shared; chmod 755 shared
      veneer run b -u 1000 -v "$PWD/shared:/mnt/new/volume" -- sh -c 'cat /srv/www/index; ls /mnt/new/volume; umask'`);
    expect(done).toMatchObject({ status: 0, stderr: "", stdout: expect.stringMatching(/\nhi\n0022$/) });
  });
});

describe("names that are not UTF-8", () => {
  const bytes = (name: string) => `"$(printf '${name}')"`;

  it("are what commands of base edit get", async () => {
    const done = await shell(`veneer base edit b -- touch ${bytes("/it\\047s \\377\\376")} &&
      veneer base edit b -- mv ${bytes("/it\\047s \\377\\376")} ${bytes("/\\200")} &&
      veneer run b -- sh -c 'echo /[!a-z]*' | od -An -tx1`);
    expect(done).toMatchObject({ status: 0, stdout: expect.stringMatching(/2f 80 0a$/) });
  });

  it("are those of a directory that is imported, and of a tar that is written", async () => {
    const done =
      await shell(`cp -a tree ${bytes("tree\\377")} && veneer base import c ${bytes("tree\\377")} &&
      veneer base export c ${bytes("c\\377.tar.gz")} && veneer base import d ${bytes("c\\377.tar.gz")} && ls | od -An -c`);
    expect(done).toMatchObject({ status: 0, stdout: expect.stringMatching(/c@1\nd@1\n.* 377 .* 377 /s) });
  });

  it("are refused where skopeo would change them", async () => {
    const done = await shell(`veneer base export b oci:${bytes("o\\377")}`);
    expect(done).toMatchObject({ status: 2, stderr: expect.stringContaining("is not UTF-8") });
    expect(existsSync(join(host.dir, "o\ufffd"))).toBe(false);
  });
});

describe("standard output", () => {
  it("that is full is reported, and is not called the store", async () => {
    for (const verb of ["base ls", "ls"]) {
      const done = await shell(`veneer ${verb} >/dev/full`);
      expect(done.status).toBe(1);
      expect(done.stderr).toMatch(/^veneer: ENOSPC: .*'standard output'$/);
    }
  });

  it("that is closed, and all else, stops no import", async () => {
    writeFileSync(join(host.dir, "tree/etc/more"), "");
    expect(await shell("veneer base import b tree <&- >&- 2>&-")).toMatchObject({ status: 0 });
    expect(await host.ok("run", "b", "--", "ls", "/etc/more")).toBe("/etc/more");
  });
});

describe("a working directory that was deleted", () => {
  it("stops nothing that names its files in full", async () => {
    const tar = join(host.dir, "from-nowhere.tar");
    const done = await shell(`mkdir gone; cd gone; rmdir ../gone
      veneer base edit b -- touch /etc/x && veneer run b -- ls /etc/x && veneer base export b ${tar}`);
    expect(done).toMatchObject({ status: 0, stdout: expect.stringContaining("/etc/x") });
    expect(await must("tar", ["-tf", tar])).toContain("etc/x");
  });
});

describe("few descriptors", () => {
  it("are enough to import, verify and run", async () => {
    const done = await shell(
      `ulimit -n 32; veneer base import e tree && veneer base verify e && veneer run e -- cat /etc/os-release`,
    );
    expect(done).toMatchObject({
      status: 0,
      stdout: expect.stringContaining(readFileSync(join(host.dir, "tree/etc/os-release"), "utf8").trim()),
    });
  });
});

describe("standard output that others share", () => {
  it("blocks after a command as it did before", async () => {
    const done = await shell(
      "veneer doctor >&2; veneer base import b tree >&2; cat /proc/self/fdinfo/1 /proc/self/fdinfo/2",
    );
    const flags = [...done.stdout.matchAll(/^flags:\s+([0-7]+)$/gm)].map(([, octal = ""]) =>
      Number.parseInt(octal, 8),
    );
    expect(flags.map((one) => one & 0o4000)).toEqual([0, 0]);
  });
});
