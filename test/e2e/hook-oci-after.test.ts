/** `veneer hook oci`, and what runtimes do after their hooks: on the base, whatever way they enter their root. */
import { spawn } from "node:child_process";
import { closeSync, mkdirSync, openSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { makeBase } from "../helpers/base.ts";
import {
  type Config,
  detach,
  hookAt,
  makeBundle,
  nextId,
  plantImage,
  RUNTIMES,
  runBundle,
  runtime,
} from "../helpers/bundle.ts";
import { must } from "../helpers/host.ts";
import { leftovers } from "../helpers/leftovers.ts";
import { useCleanHost } from "../helpers/use-host.ts";

const host = useCleanHost();

beforeAll(async () => {
  // containers of other users reach their roots through it
  await must("chmod", ["755", host.dir]);
  makeBase(host, "b");
});

/** With a root that has programs of its own: a container that is not given the base would say so. */
function bundle(command: string, edit: (config: Config) => void = () => {}): string {
  const path = makeBundle(join(host.dir, nextId()), command, (config) => {
    hookAt(config, host, "createRuntime", "--base", "b");
    edit(config);
  });
  plantImage(path);
  return path;
}

const WHICH = "cat /etc/os-release";
const MAPPINGS = [{ containerID: 0, hostID: 100_000, size: 65_536 }];

function withUserNamespace(config: Config): void {
  config.linux.namespaces.push({ type: "user" });
  config.linux.uidMappings = MAPPINGS;
  config.linux.gidMappings = MAPPINGS;
}

describe.each(RUNTIMES)("%s", (name) => {
  it.each(["createRuntime", "prestart"])(
    "enters the base by chroot (--no-pivot), hook at %s",
    async (stage) => {
      const path = bundle(
        `${WHICH}; ls /proc/self/root/etc/os-release; grep -c . /proc/self/mounts`,
        (config) => {
          const hooks = config.hooks.createRuntime ?? [];
          delete config.hooks.createRuntime;
          config.hooks[stage] = hooks;
        },
      );
      const outcome = await runtime(host, name, ["run", "--no-pivot", "--bundle", path, nextId()]);
      expect(outcome).toMatchObject({ status: 0, stderr: "" });
      expect(outcome.stdout).toMatch(/^ID=veneer-test\n\/proc\/self\/root\/etc\/os-release\n[0-9]+$/);
    },
  );

  it.each([[[]], [["--no-pivot"]]])("keeps a read-only root and masked paths, with %j", async (options) => {
    const path = bundle(
      `${WHICH}; echo x > /new; ls /proc/kcore /sys/firmware; cat /etc/masked`,
      (config) => {
        config.root.readonly = true;
        config.linux.maskedPaths.push("/etc/passwd");
      },
    );
    const outcome = await runtime(host, name, ["run", ...options, "--bundle", path, nextId()]);
    expect(outcome.stdout).toContain("ID=veneer-test");
    expect(outcome.stderr).toMatch(/Read-only file system/);
  });

  it.each([[[]], [["--no-pivot"]]])("in a user namespace, with %j", async (options) => {
    const path = bundle(`${WHICH}; ls -ln /etc/os-release`, withUserNamespace);
    await must("chown", ["-R", "100000:100000", join(path, "rootfs")]);
    const outcome = await runtime(host, name, ["run", ...options, "--bundle", path, nextId()]);
    expect(outcome).toMatchObject({ status: 0, stderr: "" });
    expect(outcome.stdout).toMatch(/^ID=veneer-test\n-rw-r--r-- +1 0 +0 /);
  });

  it("hands on descriptors (--preserve-fds)", async () => {
    const path = bundle(`${WHICH}; cat <&3`);
    const file = join(host.dir, "preserved");
    writeFileSync(file, "handed on\n");
    const descriptor = openSync(file, "r");
    const args = [
      "--root",
      join(host.dir, "state"),
      "run",
      "--preserve-fds",
      "1",
      "--bundle",
      path,
      nextId(),
    ];
    const child = spawn(name, args, {
      env: { PATH: host.path },
      stdio: ["ignore", "pipe", "inherit", descriptor],
    });
    closeSync(descriptor);
    let stdout = "";
    child.stdout?.on("data", (data) => {
      stdout += data;
    });
    const status = await new Promise((resolve) => child.once("close", resolve));
    expect([status, stdout]).toEqual([0, "ID=veneer-test\nhanded on\n"]);
  });

  it.each([true, false])("under a seccomp profile, with noNewPrivileges %s", async (noNewPrivileges) => {
    const path = bundle(`${WHICH}; mkdir /new`, (config) => {
      config.process.noNewPrivileges = noNewPrivileges;
      config.linux.seccomp = {
        defaultAction: "SCMP_ACT_ALLOW",
        syscalls: [{ names: ["mkdir", "mkdirat"], action: "SCMP_ACT_ERRNO", errnoRet: 1 }],
      };
    });
    const outcome = await runBundle(host, name, path);
    expect(outcome.stdout).toBe("ID=veneer-test");
    expect(outcome.stderr).toMatch(/Operation not permitted/);
  });

  it("is created, waits, and is started", async () => {
    const file = join(host.dir, nextId());
    const path = bundle(`${WHICH} > /out/result; exec sleep 60`, (config) => {
      mkdirSync(file);
      config.mounts.push({ destination: "/out", source: file, type: "bind", options: ["bind"] });
    });
    const id = nextId();
    const created = await detach(host, name, [
      "--root",
      join(host.dir, "state"),
      "create",
      "--bundle",
      path,
      id,
    ]);
    expect(created).toMatchObject({ status: 0, stderr: "" });
    const { pid, status } = JSON.parse((await runtime(host, name, ["state", id])).stdout);
    expect(status).toBe("created");
    expect(readFileSync(`/proc/${pid}/status`, "utf8")).toMatch(/^TracerPid:\s*0$/m);
    expect(await runtime(host, name, ["start", id])).toMatchObject({ status: 0 });
    await expect.poll(() => readFileSync(join(file, "result"), "utf8")).toBe("ID=veneer-test\n");
    expect(await runtime(host, name, ["delete", "--force", id])).toMatchObject({ status: 0 });
  });

  it("runs hooks of others in the container, which find the base at root.path", async () => {
    const seen = join(host.dir, nextId());
    const path = bundle(WHICH, (config) => {
      // crun writes / as \/
      const found = `tr -d '\\\\' | sed -n 's/.*"bundle": *"\\([^"]*\\)".*/\\1/p'`;
      const script = `cat "$(${found})/rootfs/etc/os-release" > ${seen}`;
      config.hooks.createContainer = [{ path: "/bin/sh", args: ["sh", "-c", script] }];
    });
    const state = await runBundle(host, name, path);
    expect(state).toMatchObject({ status: 0, stdout: "ID=veneer-test" });
    expect(readFileSync(seen, "utf8")).toBe("ID=veneer-test\n");
  });

  it("never runs on the image when the runtime is killed, at whatever moment", {
    timeout: 240_000,
  }, async () => {
    for (let delay = 0; delay < 120; delay += 6) {
      const id = nextId();
      const path = bundle(WHICH);
      const args = ["--root", join(host.dir, "state"), "run", "--bundle", path, id];
      const child = spawn(name, args, { env: { PATH: host.path }, stdio: ["ignore", "pipe", "ignore"] });
      let stdout = "";
      child.stdout.on("data", (data) => {
        stdout += data;
      });
      const closed = new Promise((resolve) => child.once("close", resolve));
      await new Promise((resolve) => setTimeout(resolve, delay));
      child.kill("SIGKILL");
      await closed;
      expect(["", "ID=veneer-test\n"]).toContain(stdout);
      await runtime(host, name, ["delete", "--force", id]);
    }
    const left = async () => {
      await host.ok("gc");
      return leftovers(host);
    };
    await expect.poll(left, { interval: 500 }).toEqual([]);
  });
});
