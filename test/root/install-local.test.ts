import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { makeBase } from "../helpers/base.ts";
import { type Host, makeHost, must, PROJECT, sh, storeOptions } from "../helpers/host.ts";
import { makeLxc } from "../helpers/lxc.ts";

const script = join(PROJECT, "scripts/install-local.sh");
let prefix: string;
let host: Host;

beforeAll(() => {
  prefix = mkdtempSync(join(tmpdir(), "veneer-prefix-"));
  host = makeHost();
});
afterAll(async () => {
  rmSync(prefix, { recursive: true, force: true });
  await host.remove();
});

describe("install-local", () => {
  test("puts program, runtimes, engine files and units below the prefix, twice the same", async () => {
    for (let count = 0; count < 2; count++) {
      await must("bash", [script, "--prefix", prefix]);
      expect(readdirSync(join(prefix, "bin")).sort()).toEqual([
        "veneer",
        "veneer-crun",
        "veneer-release",
        "veneer-runc",
      ]);
      expect(await must(join(prefix, "bin/veneer"), ["--version"])).toMatch(/^veneer [0-9]+\./);
    }
    expect(statSync(join(prefix, "bin/veneer")).mode & 0o777).toBe(0o755);
    for (const name of readdirSync(join(prefix, "lib/systemd/system"))) {
      const unit = readFileSync(join(prefix, "lib/systemd/system", name), "utf8");
      expect(unit).not.toContain("/usr/bin/veneer");
    }
    for (const page of ["veneer", "veneer-runc", "veneer-crun", "veneer-base-import"]) {
      const text = await must("man", ["-P", "cat", page], {
        env: { PATH: process.env.PATH as string, MANPATH: join(prefix, "share/man") },
      });
      expect(text, page).toContain("SYNOPSIS");
    }
    for (const [shell, file] of [
      ["bash", "bash-completion/completions/veneer"],
      ["zsh", "zsh/site-functions/_veneer"],
      ["fish", "fish/vendor_completions.d/veneer.fish"],
    ] as const) {
      await must(shell, ["-n", join(prefix, "share", file)]);
    }
  });

  test("installs what runs from there", async () => {
    await must("bash", [script, `--prefix=${prefix}`]);
    makeBase(host, "here");
    const words = [...storeOptions(host), "run", "here", "--", "cat", "/etc/os-release"];
    const env = { PATH: `${prefix}/bin:/usr/sbin:/usr/bin:/sbin:/bin` };
    expect(await must(join(prefix, "bin/veneer"), words, { env })).toBe("ID=veneer-test");
  });

  test("installs an include file that LXC takes as it is", async () => {
    await must("bash", [script, `--prefix=${prefix}`]);
    makeBase(host, "b");
    const conf = join(prefix, "share/veneer/lxc/veneer.conf");
    expect(readFileSync(conf, "utf8")).not.toContain("@PREFIX@");
    // the store of this test, in place of the default one
    const own = join(host.dir, "veneer.conf");
    writeFileSync(
      own,
      readFileSync(conf, "utf8").replaceAll(
        "veneer hook",
        `veneer --root ${host.root} --run ${host.run} hook`,
      ),
    );
    const lxc = makeLxc(host);
    lxc.container("installed", { only: [`lxc.include = ${own}`, "lxc.environment = VENEER_BASE=b"] });
    const outcome = await lxc.execute("installed", "/bin/cat", "/etc/os-release");
    expect(outcome).toMatchObject({ status: 0, stdout: "ID=veneer-test" });
    await lxc.stopAll();
  });

  test.each([[["--prefix", "relative"]], [["--prefix"]], [["--prefix", "/a b"]], [["--no-such"]]])(
    "refuses %j with status 2",
    async (args) => {
      expect((await sh("bash", [script, ...args])).status).toBe(2);
    },
  );
});
