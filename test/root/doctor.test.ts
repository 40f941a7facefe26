import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { KERNEL_FEATURES } from "../../src/doctor/kernel-features.ts";
import { makeHost, must, PROGRAM, PROJECT, sh, storeOptions } from "../helpers/host.ts";
import { isLinux } from "../helpers/kernel.ts";
import { inject } from "../helpers/strace.ts";
import { makeUser } from "../helpers/user.ts";

const host = makeHost();
afterAll(() => host.remove());

interface Check {
  area: string;
  name: string;
  status: string;
  required: boolean;
  detail: string;
  hint?: string;
}

async function doctor(program = PROGRAM, root = host.root, path = host.path) {
  const { stdout, status } = await sh(program, ["--root", root, "--run", host.run, "doctor", "--json"], {
    env: { PATH: path },
  });
  const { ok, checks } = JSON.parse(stdout) as { ok: boolean; checks: Check[] };
  return { ok, status, find: (name: string) => checks.find((check) => check.name === name) as Check, checks };
}

describe("doctor", () => {
  it("finds all that is needed, with status 0", async () => {
    const { ok, status, checks, find } = await doctor();
    expect(checks.filter((check) => check.required && check.status === "missing")).toEqual([]);
    expect([ok, status]).toEqual([true, 0]);
    expect(find("runc").detail).toContain((await must("runc", ["--version"])).match(/[0-9.]+[0-9]/)?.[0]);
  });

  it("gives a hint for everything that is not well", async () => {
    const { checks } = await doctor();
    for (const { status, hint, name } of checks)
      expect([name, status === "ok" || hint !== undefined]).toEqual([name, true]);
  });

  it("finds of each feature of the kernel what its version has", async () => {
    const { find } = await doctor();
    for (const { name, since } of KERNEL_FEATURES) {
      expect([name, find(name).status === "ok"]).toEqual([name, isLinux(since)]);
    }
  });

  it("makes no store and leaves nothing in the one that is there", async () => {
    await doctor();
    expect(existsSync(host.root)).toBe(false);
    const root = mkdtempSync(join(host.dir, "store-"));
    const { find } = await doctor(PROGRAM, root);
    expect(find("directory").status).toBe("ok");
    expect(readdirSync(root)).toEqual([]);
  });

  it("tries the store's own file system", async () => {
    const place = join(host.dir, "place");
    mkdirSync(place);
    await must("mount", ["-t", "tmpfs", "tmpfs", place]);
    expect((await doctor(PROGRAM, place)).find("file system")).toMatchObject({
      status: "limited",
      detail: expect.stringContaining("tmpfs"),
    });
    await must("umount", [place]);
    await must("mount", ["-t", "overlay", "-o", `lowerdir=${place}:${host.bin}`, "overlay", place]);
    const { find, status } = await doctor(PROGRAM, place);
    expect([find("file system").status, status]).toEqual(["missing", 1]);
    await must("umount", [place]);
  });

  it("names the package of what is not installed, and fails without any engine", async () => {
    // looked for where veneer runs it from, whatever PATH is; seen by this test's mount namespace alone
    const skopeo = await must("which", ["skopeo"]);
    await must("mount", ["--bind", "/etc/os-release", skopeo]);
    const { find, ok, status } = await doctor(PROGRAM, host.root, join(host.dir, "empty"));
    await must("umount", [skopeo]);
    expect(find("skopeo")).toMatchObject({
      status: "missing",
      hint: expect.stringMatching(/install skopeo/),
    });
    expect(find("any").status).toBe("missing");
    expect([ok, status]).toEqual([false, 1]);
  });

  it("does not wait for a program that never tells its version", async () => {
    const bin = join(host.dir, "stuck");
    mkdirSync(bin);
    writeFileSync(join(bin, "runc"), "#!/bin/sh\nexec /bin/sleep 1000\n", { mode: 0o755 });
    const { find } = await doctor(PROGRAM, host.root, bin);
    expect(find("runc")).toMatchObject({
      status: "unknown",
      detail: expect.stringMatching(/prints no version within 10 seconds$/),
      hint: expect.stringContaining("runc --version"),
    });
  });

  it("warns of a program that others can write, and of one without its links", async () => {
    const directory = join(host.dir, "installed");
    mkdirSync(directory);
    for (const name of ["veneer", "veneer-cli"]) {
      copyFileSync(join(PROJECT, "dist", name), join(directory, name));
      chmodSync(join(directory, name), 0o755);
    }
    chmodSync(join(directory, "veneer"), 0o775);
    const { find } = await doctor(join(directory, "veneer"));
    expect(find("program")).toMatchObject({ status: "limited", hint: expect.stringContaining("chmod go-w") });
    expect(find("veneer-runc").status).toBe("missing");
    symlinkSync("veneer", join(directory, "veneer-runc"));
    const linked = async () => (await doctor(join(directory, "veneer"))).find("veneer-runc").status;
    expect(await linked()).toBe("limited");
    chmodSync(join(directory, "veneer"), 0o755);
    expect(await linked()).toBe("ok");
  });

  it("tells a user without root what it has and what it lacks", async () => {
    const user = makeUser(host, { uid: 47113 });
    const report = async (env: Record<string, string> = {}, who = user) => {
      const { stdout, stderr, status } = await who.sh("veneer", ["doctor", "--json"], { env });
      expect(stderr).toBe("");
      const { checks } = JSON.parse(stdout) as { checks: Check[] };
      return { status, checks, find: (name: string) => checks.find((check) => check.name === name) as Check };
    };
    const well = await report();
    expect(well.checks.filter(({ required, status }) => required && status !== "ok")).toEqual([]);
    expect(well.status).toBe(0);
    expect(well.find("subordinate ids").detail).toBe("65536 in /etc/subuid, 65536 in /etc/subgid");
    expect(well.find("extended attributes").detail).toBe("user.overlay.opaque");
    expect(well.find("directory").detail).toContain(user.store);
    const homeless = await report({ XDG_RUNTIME_DIR: "/nowhere" });
    expect(homeless.status).toBe(1);
    expect(homeless.find("runtime directory")).toMatchObject({
      status: "missing",
      hint: expect.stringMatching(/linger/),
    });
    const poor = makeUser(host, { uid: 47114, subordinate: undefined });
    const lacking = await report({}, poor);
    expect(lacking.find("subordinate ids")).toMatchObject({
      status: "limited",
      hint: expect.stringContaining(`--add-subgids 100000-165535 ${poor.name}`),
    });
    for (const { status, hint } of [...well.checks, ...lacking.checks]) {
      expect(status === "ok" || hint !== undefined).toBe(true);
    }
    for (const one of [user, poor]) one.end();
  });

  it("says why a user gets no user namespace", async () => {
    const user = makeUser(host, { uid: 47115 });
    // seen by this test's mount namespace alone
    const file = join(host.dir, "none");
    writeFileSync(file, "0\n");
    await must("mount", ["--bind", file, "/proc/sys/user/max_user_namespaces"]);
    const real = join(host.dir, "unshare");
    await must("cp", ["/usr/bin/unshare", real]);
    const refusing = join(host.dir, "refusing");
    const lines = [
      'case "$*" in *--user*) echo unshare failed: No space left on device >&2; exit 1 ;; esac',
      `exec ${real} "$@"`,
    ];
    writeFileSync(refusing, `#!/bin/sh\n${lines.join("\n")}\n`, { mode: 0o755 });
    await must("mount", ["--bind", refusing, "/usr/bin/unshare"]);
    const { stdout, status } = await user.sh("veneer", ["doctor"]);
    await must("umount", ["/usr/bin/unshare"]);
    await must("umount", ["/proc/sys/user/max_user_namespaces"]);
    expect(status).toBe(1);
    expect(stdout).toMatch(
      /user namespaces\* +cannot be made, user.max_user_namespaces is 0 .*hint: as root: sysctl user/,
    );
    user.end();
  });

  it("ends though the process that holds a user namespace for it cannot be looked at", async () => {
    // its own namespace is read before that once
    const failing = [...inject("readlinkat", "error=EIO:when=2+"), "-P", "/proc/self/ns/user"];
    const words = [...failing, PROGRAM, ...storeOptions(host), "internal", "doctor"];
    mkdirSync(host.root, { recursive: true });
    const { status, stdout } = await sh("timeout", ["-s", "KILL", "20", "strace", ...words]);
    expect(status).toBe(0);
    expect(stdout).toContain("EIO: Input/output error, readlink '/proc/self/ns/user'");
  });

  it("ends quietly when its reader goes", async () => {
    const outcome = await sh("sh", ["-c", `${PROGRAM} doctor | true`]);
    expect(outcome).toEqual({ status: 0, stdout: "", stderr: "" });
  });
});
