/** What `npm run torture` tries of the hooks and of the wrapping runtime: containers of real runtimes. */
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { type Config, type Hook, nextId, ociHook } from "../../test/helpers/bundle.ts";
import { PROGRAM, storeOptions } from "../../test/helpers/host.ts";
import { traceHook } from "../../test/helpers/strace.ts";
import { grantIds, mapIds, range } from "../../test/helpers/userns.ts";
import { type Operation, type Operations, SMALL_ONLY, traced } from "./operation.ts";
import { bundleOf, distOf, type World } from "./world.ts";

type Edit = (config: Config) => void;

const annotated =
  (annotations: Record<string, string>): Edit =>
  (config) =>
    Object.assign(config.annotations, annotations);

/** The wrapping runtime with this command on a new bundle. */
function runtime(command: "create" | "run", name = "", edit: Edit = () => {}): Operation {
  return {
    name: `runtime ${command}${name}`,
    program: "small",
    shows: command === "run" ? "2" : "",
    finish: deleteContainers,
    call(world, tracer) {
      const options = tracer.length > 0 ? [...SMALL_ONLY, ...tracer] : tracer;
      return traced(options, distOf("veneer-runc"), runtimeWords(world, command, edit));
    },
  };
}

function runtimeWords(world: World, command: string, edit: Edit = () => {}): string[] {
  const bundle = bundleOf(world, (config) => {
    config.annotations["run.veneer.base"] = "b";
    edit(config);
  });
  return [...world.wrapper, command, "-b", bundle, nextId()];
}

const stateOf = ({ dir }: World) => join(dir, "state");

async function deleteContainers(world: World): Promise<void> {
  const state = stateOf(world);
  for (const id of existsSync(state) ? readdirSync(state) : [])
    await world.run("runc", ["--root", state, "delete", "--force", id]);
}

/** The poststop hook of a container whose process was killed. */
const release: Operation = {
  name: "release",
  program: "small",
  async prepare(world) {
    const { status, stderr } = await world.run(distOf("veneer-runc"), runtimeWords(world, "create"));
    if (status !== 0) throw new Error(`create: ${stderr}`);
    const [id = ""] = readdirSync(stateOf(world));
    const { stdout } = await world.run("runc", ["--root", stateOf(world), "state", id]);
    process.kill(JSON.parse(stdout).pid, "SIGKILL");
  },
  call(world, tracer) {
    const [name = ""] = readdirSync(join(world.host.run, "records"));
    const { key, ephemeral } = JSON.parse(readFileSync(join(world.host.run, "records", name), "utf8"));
    return traced(tracer, distOf("veneer-release"), [...storeOptions(world.host), key, ephemeral, ""]);
  },
  finish: deleteContainers,
};

/** A container of runc's with our hook, which is traced at this stage. */
function hook(stage: "createRuntime" | "poststop", name = "", ...words: string[]): Operation {
  return {
    name: `hook oci ${stage}${name}`,
    program: "small",
    shows: "2",
    call(world, tracer) {
      const bundle = bundleOf(world, (config) => {
        for (const each of ["createRuntime", "poststop"]) {
          const ours: Hook = ociHook(world.host, "--base", "b", ...words);
          if (tracer.length > 0 && each === stage) traceHook(ours, join(world.dir, "work"), tracer);
          config.hooks[each] = [ours];
        }
      });
      return { file: "runc", args: ["--root", stateOf(world), "run", "-b", bundle, nextId()] };
    },
  };
}

/** Of the ids of a user namespace. */
const FIRST = 100_000;

type Moment = "pre-start" | "start-host" | "pre-mount" | "post-stop";

/** What our hook is given at its moments, without and with a user namespace. */
const PLAIN: Partial<Record<Moment, string>> = { "pre-mount": " --base b", "post-stop": "" };
const MAPPED: typeof PLAIN = { "pre-start": " --base b", "start-host": "", "post-stop": "" };

/** A container of LXC's with our hook, which is traced at one of its moments. */
function lxc(moments: typeof PLAIN, moment: Moment): Operation {
  const mapped = moments === MAPPED;
  let revoke: (() => Promise<unknown>) | undefined;
  return {
    name: `hook lxc ${moment}${mapped ? ", a user namespace" : ""}`,
    program: "small",
    shows: "2",
    async prepare({ host }) {
      if (mapped) revoke = await grantIds(host, FIRST, 65_536);
    },
    done: /.^/,
    async finish() {
      await revoke?.();
    },
    call(world, tracer) {
      const directory = join(world.dir, "lxc/c1");
      mkdirSync(join(directory, "rootfs"), { recursive: true });
      if (mapped) {
        chmodSync(directory, 0o770);
        chownSync(directory, FIRST, 0);
      }
      const program = (each: string) =>
        tracer.length > 0 && each === moment ? script(world, tracer) : PROGRAM;
      const lines = [
        `lxc.rootfs.path = dir:${directory}/rootfs`,
        "lxc.net.0.type = empty",
        "lxc.hook.version = 1",
        ...(mapped ? ["u", "g"].map((kind) => `lxc.idmap = ${kind} 0 ${FIRST} 65536`) : []),
        ...Object.entries(moments).map(
          ([each, options]) =>
            `lxc.hook.${each} = ${program(each)} ${world.words.join(" ")} hook lxc${options}`,
        ),
      ];
      writeFileSync(join(directory, "config"), `${lines.join("\n")}\n`);
      const args = ["-P", join(world.dir, "lxc"), "-n", "c1", "-o", join(world.dir, "work/lxc.log")];
      return { file: "lxc-execute", args: [...args, "--", "/bin/cat", "/etc/version"] };
    },
  };
}

/** A program that is ours below a tracer. */
function script(world: World, tracer: readonly string[]): string {
  const path = join(world.dir, "work/traced");
  const words = ["strace", "-D", ...tracer, PROGRAM].map((word) => `'${word}'`).join(" ");
  writeFileSync(path, `#!/bin/sh\nexec ${words} "$@"\n`, { mode: 0o755 });
  return path;
}

/** The record that it makes is of the caller, which is gone afterwards: gc takes it. */
const precreate: Operation = {
  name: "hook precreate",
  program: "small",
  call(world, tracer) {
    const options = tracer.length > 0 ? [...SMALL_ONLY, ...tracer] : tracer;
    const annotations = { "run.veneer.base": "b" };
    return {
      ...traced(options, PROGRAM, [...world.words, "hook", "precreate"]),
      input: JSON.stringify({ ociVersion: "1.0.2", root: { path: "/image" }, annotations }),
    };
  },
};

/** The plugin of NRI, with a runtime that takes what it says, and ends. */
const nri: Operation = {
  name: "nri",
  program: "small",
  reads: true,
  call(world, tracer) {
    const options = tracer.length > 0 ? [...SMALL_ONLY, ...tracer] : tracer;
    const { file, args } = traced(options, PROGRAM, [...world.words, "nri"]);
    return { file: "sh", args: ["-c", 'NRI_PLUGIN_SOCKET=3 exec "$0" "$@" 3<>/dev/null', file, ...args] };
  },
};

/** The operations of hooks, of the commands of the wrapping runtime and of its own hook, and of the plugin. */
export const ENGINES: Operations = {
  "hook oci": [
    hook("createRuntime"),
    hook("createRuntime", ", in memory", "--tmpfs", "1m"),
    hook("createRuntime", ", an instance", "--instance", "new", "--persistent"),
    hook("poststop"),
  ],
  "hook precreate": [precreate],
  "hook lxc": [
    ...(["pre-mount", "post-stop"] as const).map((moment) => lxc(PLAIN, moment)),
    ...(["pre-start", "start-host", "post-stop"] as const).map((moment) => lxc(MAPPED, moment)),
  ],
  "runtime run": [
    runtime("run"),
    runtime("run", ", in memory", annotated({ "run.veneer.tmpfs": "1m" })),
    runtime(
      "run",
      ", an instance",
      annotated({ "run.veneer.instance": "new", "run.veneer.upper": "persistent" }),
    ),
    runtime("run", ", a user namespace", (config) => mapIds(config, range(FIRST))),
  ],
  "runtime create": [runtime("create")],
  release: [release],
  nri: [nri],
};
