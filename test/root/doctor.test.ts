import { chmodSync, chownSync, copyFileSync, existsSync, mkdirSync, mkdtempSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { makeHost, must, PROGRAM, sh } from "../helpers/host.ts";

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
    const { find, ok, status } = await doctor(PROGRAM, host.root, join(host.dir, "empty"));
    expect(find("skopeo")).toMatchObject({
      status: "missing",
      hint: expect.stringMatching(/install skopeo/),
    });
    expect(find("any").status).toBe("missing");
    expect([ok, status]).toEqual([false, 1]);
  });

  it("warns of a program that others can write, and of one without its scripts", async () => {
    const directory = join(host.dir, "installed");
    mkdirSync(directory);
    copyFileSync(PROGRAM, join(directory, "veneer"));
    chmodSync(join(directory, "veneer"), 0o775);
    const { find } = await doctor(join(directory, "veneer"));
    expect(find("program")).toMatchObject({ status: "limited", hint: expect.stringContaining("chmod go-w") });
    expect(find("veneer-runc").status).toBe("missing");
  });

  it("says that root is needed", async () => {
    // podman makes itself at home for a user that asks for its version
    const home = join(host.dir, "home");
    mkdirSync(home, { mode: 0o700 });
    chownSync(home, 65534, 65534);
    chmodSync(host.dir, 0o755);
    const env = { HOME: home, TMPDIR: home, XDG_RUNTIME_DIR: home };
    const outcome = await sh("setpriv", ["--reuid", "65534", "--clear-groups", PROGRAM, "doctor"], { env });
    expect(outcome.status).toBe(1);
    expect(outcome.stdout).toMatch(/root\* .*run as root/);
    expect(outcome.stderr).toBe("");
  });

  it("ends quietly when its reader goes", async () => {
    const outcome = await sh("sh", ["-c", `${PROGRAM} doctor | true`]);
    expect(outcome).toEqual({ status: 0, stdout: "", stderr: "" });
  });
});
