/** `veneer hook oci` at stages at which it cannot give a container its root: it says so, and nothing starts without it. */
import { mkdtempSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeAll, describe, expect, it } from "vitest";
import { makeBase } from "../helpers/base.ts";
import {
  type Config,
  makeBundle,
  nextId,
  ociHook,
  plantImage,
  RUNTIMES,
  runBundle,
} from "../helpers/bundle.ts";
import { PROGRAM } from "../helpers/host.ts";
import { leftovers } from "../helpers/leftovers.ts";
import { useHost } from "../helpers/use-host.ts";

const host = useHost();
beforeAll(() => {
  makeBase(host, "b");
  makeBase(host, "other");
});
afterEach(async () => {
  const left = async () => {
    await host.ok("gc");
    return leftovers(host);
  };
  await expect.poll(left, { interval: 500 }).toEqual([]);
});

/** With a root that a container would start on without its base. */
function bundle(command: string, edit: (config: Config) => void): string {
  const path = makeBundle(join(host.dir, nextId()), command, edit);
  plantImage(path);
  return path;
}

describe.each(RUNTIMES)("%s", (name) => {
  const at = (stages: readonly string[], command: string, edit: (config: Config) => void = () => {}) =>
    runBundle(
      host,
      name,
      bundle(command, (config) => {
        for (const stage of stages) config.hooks[stage] = [ociHook(host, "--base", "b")];
        edit(config);
      }),
    );

  it("createContainer alone: the container does not start, and the error names the stage", async () => {
    const outcome = await at(["createContainer", "poststop"], "cat /etc/os-release");
    expect(outcome.status).not.toBe(0);
    expect(outcome.stdout).toBe("");
    expect(outcome.stderr).toMatch(/runs at createContainer, and container .* hint: .*createRuntime/);
  });

  it("createContainer beside createRuntime: nothing more to do", async () => {
    const outcome = await at(["createRuntime", "createContainer", "poststop"], "cat /etc/os-release");
    expect(outcome).toMatchObject({ status: 0, stdout: "ID=veneer-test" });
  });

  it("startContainer alone: the container does not start", async () => {
    const outcome = await at(["startContainer"], "cat /etc/os-release", (config) => {
      config.mounts.push({ destination: PROGRAM, source: PROGRAM, type: "bind", options: ["bind"] });
    });
    expect(outcome.status).not.toBe(0);
    expect(outcome.stdout).toBe("");
    // crun hides what a hook says, and there the hook cannot reach crun's own stderr
    const said = name === "crun" ? /error executing hook/ : /runs at startContainer, and container /;
    expect(outcome.stderr).toMatch(said);
  });

  it("poststart alone: the container is ended", async () => {
    const outcome = await at(["poststart"], "exec sleep 1000");
    expect(outcome.status).not.toBe(0);
    expect(outcome.stderr).toMatch(/runs at poststart, and container .* was ended/);
  });

  it("poststart beside createRuntime: nothing more to do", async () => {
    const barrier = mkdtempSync(join(host.dir, "barrier"));
    const script = "cat /etc/os-release; while [ ! -e /barrier/end ]; do sleep 0.05; done";
    const outcome = await at(["createRuntime", "poststart", "poststop"], script, (config) => {
      config.mounts.push({ destination: "/barrier", source: barrier, type: "bind", options: ["bind"] });
      // behind ours: the container runs until that has ended
      config.hooks.poststart?.push({ path: "/usr/bin/touch", args: ["touch", join(barrier, "end")] });
    });
    expect(outcome).toMatchObject({ status: 0, stdout: "ID=veneer-test" });
  });

  it("poststop alone: says that the container had no base", async () => {
    const outcome = await at(["poststop"], "cat /etc/os-release");
    expect(outcome.stderr).toMatch(/runs at poststop alone: container .* ran without its base/);
  });

  it("two bases: the second is not passed over silently", async () => {
    const outcome = await at(["createRuntime", "poststop"], "cat /etc/os-release", (config) => {
      config.hooks.createRuntime?.push(ociHook(host, "--base", "other"));
    });
    expect(outcome.status).not.toBe(0);
    expect(outcome.stderr).toMatch(/has b@1 already, and other is named too; hint: name one base/);
  });
});
