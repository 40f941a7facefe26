/**
 * Every operation of both programs, as the faults part tries it. The lists of verbs and of hooks are the programs' own: what
 * has no operation here fails the run ({@link missingOperations}). 250 lines and more: it is a table.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { INTERNAL_VERBS, verbNames } from "../../src/cli/framework/verbs.ts";
import { HOOK_KINDS } from "../../src/hook/kinds.ts";
import { PREPARED } from "../../src/request/runtime-options.ts";
import { type Hook, nextId, ociHook } from "../../test/helpers/bundle.ts";
import { PROGRAM } from "../../test/helpers/host.ts";
import { addPart } from "../../test/helpers/parts.ts";
import { traceHook } from "../../test/helpers/strace.ts";
import { bundleOf, distOf, type RunOptions, type World } from "./world.ts";

export interface Call extends RunOptions {
  readonly file: string;
  readonly args: readonly string[];
}

export interface Operation {
  readonly name: string;
  /** `VERB`, `hook KIND`, `runtime COMMAND` */
  readonly covers: string;
  /** the large program has a run time of its own, which makes calls too */
  readonly program: "small" | "large";
  /** what is looked at only: with status 0 it prints what it prints without a fault */
  readonly reads?: boolean;
  /** the world before: put back for each trial */
  prepare?(world: World): Promise<unknown>;
  /** The command, below a tracer with these options; none without options. */
  call(world: World, tracer: readonly string[]): Call | Promise<Call>;
  /** what the same command says when the first one had done it already */
  readonly done?: RegExp;
  /** what must be so once it has reported success; throws or returns what is not */
  proof?(world: World): Promise<string | undefined> | string | undefined;
  /** status and output of a container that runs on the right root */
  readonly shows?: string;
  /** after the checks: what only this operation leaves on purpose */
  finish?(world: World): Promise<unknown>;
  /** it leaves a process of ours in the background, which the tracer follows until {@link finish} */
  readonly background?: boolean;
  /** bases are changed: all of them are verified afterwards */
  readonly bases?: boolean;
}

const traced = (tracer: readonly string[], file: string, args: readonly string[]): Call =>
  tracer.length === 0 ? { file, args } : { file: "strace", args: [...tracer, file, ...args] };

/** The small program becomes others, which are not traced; the large one is followed into all that it starts. */
const SMALL_ONLY = ["-b", "execve"];

function verb(
  covers: string,
  words: string | ((world: World) => string[]),
  more: Partial<Operation> & { input?: string } = {},
): Operation {
  const small = SMALL_VERBS.has(covers);
  const list = (world: World) =>
    typeof words === "string" ? words.split(" ").map((word) => word.replace("DIR", world.dir)) : words(world);
  const { input, ...rest } = more;
  return {
    name: covers,
    covers,
    program: small ? "small" : "large",
    call: (world, tracer) => ({
      ...traced(
        tracer.length > 0 && small ? [...(more.background ? ["-D"] : []), ...SMALL_ONLY, ...tracer] : tracer,
        PROGRAM,
        [...world.words, ...list(world)],
      ),
      ...(input !== undefined && { input }),
    }),
    ...rest,
  };
}

/** As src/cli/small.ts has them. */
const SMALL_VERBS = new Set([
  "create",
  "mount",
  "umount",
  "rm",
  "ls",
  "ps",
  "run",
  "exec",
  "stop",
  "logs",
  "nri",
]);

const has = (path: (world: World) => string) => (world: World) =>
  existsSync(path(world)) ? undefined : `${path(world)} is not there`;
const hasNot = (path: (world: World) => string) => (world: World) =>
  existsSync(path(world)) ? `${path(world)} is still there` : undefined;
const base = (name: string) => (world: World) => join(world.host.root, "bases", name, "base.json");
const instance = (id: string) => (world: World) => join(world.host.root, "instances", id, "instance.json");
const definition = (world: World, id: string) => JSON.parse(readFileSync(instance(id)(world), "utf8"));
const isOn = (id: string, version: number) => (world: World) =>
  definition(world, id).version === version ? undefined : `${id} is on ${definition(world, id).version}`;

const change = async (world: World, id: string, file: string) => {
  const root = await world.ok("mount", id);
  writeFileSync(join(root, file), file);
  await world.ok("umount", id);
};

const editing = (world: World) => world.ok("base", "edit", "line");

/** Starts a container in the background on an instance. */
const background =
  (id: string, ...words: string[]) =>
  (world: World) =>
    world.ok("run", ...words, "-d", "--name", id, "--", "sh", "-c", "while :; do sleep 1; done");

/** The wrapping runtime with this command on a new bundle. */
function runtime(command: string, annotations: Record<string, string>, name = "runc"): Operation {
  return {
    name: `runtime ${command} ${Object.values(annotations).slice(1).join(" ")} ${name === "runc" ? "" : name}`.trim(),
    covers: `runtime ${command}`,
    program: "small",
    shows: command === "run" ? "2" : "",
    finish: async ({ dir, run }) => {
      const state = join(dir, "state");
      for (const id of existsSync(state) ? readdirSync(state) : [])
        await run("runc", ["--root", state, "delete", "--force", id]);
    },
    call(world, tracer) {
      const bundle = bundleOf(world, (config) => Object.assign(config.annotations, annotations));
      const store = [
        "--veneer-store",
        world.host.root,
        world.host.run,
        join(world.dir, "config/veneer.json"),
      ];
      const args = [...store, "--root", join(world.dir, "state"), command, "-b", bundle, nextId()];
      return traced(tracer.length > 0 ? [...SMALL_ONLY, ...tracer] : tracer, distOf(`veneer-${name}`), args);
    },
  };
}

/** A container of runc's with our hook at these stages, of which the first is traced. */
function hook(stages: readonly string[], words: readonly string[], name: string): Operation {
  return {
    name: `hook oci ${name}`,
    covers: "hook oci",
    program: "small",
    shows: "2",
    call(world, tracer) {
      const bundle = bundleOf(world, (config) => {
        for (const stage of ["createRuntime", "poststop"]) {
          const ours: Hook = { ...ociHook(world.host, "--base", "b", ...words) };
          if (tracer.length > 0 && stages.includes(stage)) traceHook(ours, join(world.dir, "work"), tracer);
          config.hooks[stage] = [ours];
        }
      });
      return { file: "runc", args: ["--root", join(world.dir, "state"), "run", "-b", bundle, nextId()] };
    },
  };
}

/** A container of LXC's; `line`: the one whose hook is traced. */
function lxc(line: string, lines: (veneer: string) => readonly string[], name: string): Operation {
  return {
    name: `hook lxc ${name}`,
    covers: "hook lxc",
    program: "small",
    shows: "2",
    call(world, tracer) {
      const veneer = [PROGRAM, ...world.words].join(" ");
      const directory = join(world.dir, "lxc/c1");
      mkdirSync(join(directory, "rootfs"), { recursive: true });
      const all = lines(veneer).map((text) =>
        tracer.length > 0 && text.startsWith(line) ? text.replace(PROGRAM, script(world, tracer)) : text,
      );
      const general = [
        `lxc.rootfs.path = dir:${directory}/rootfs`,
        "lxc.net.0.type = empty",
        "lxc.hook.version = 1",
      ];
      writeFileSync(join(directory, "config"), [...general, ...all, ""].join("\n"));
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

const CONFIG = (base: string) =>
  JSON.stringify({ ociVersion: "1.0.2", root: { path: "/image" }, annotations: { "run.veneer.base": base } });

export const OPERATIONS: readonly Operation[] = [
  // bases
  verb("base import", "base import new DIR/tree2", {
    name: "base import, a directory",
    done: /.^/,
    proof: has(base("new")),
    bases: true,
  }),
  verb("base import", "base import line DIR/tree2", { name: "base import, a next version", bases: true }),
  verb("base import", ({ image }) => ["base", "import", "image", image], {
    name: "base import, an image",
    proof: has(base("image")),
    bases: true,
  }),
  verb("base ls", "base ls", { reads: true }),
  verb("base show", "base show b", { reads: true }),
  verb("base log", "base log b", { reads: true }),
  verb("base diff", "base diff b@1 b@2", { reads: true }),
  verb("base verify", "base verify b@2", { reads: true }),
  verb("base policy", "base policy line", { reads: true }),
  verb("base rm", "base rm line", { done: /no base line/, proof: hasNot(base("line")), bases: true }),
  verb("base prune", "base prune old", {
    proof: hasNot(({ host }) => join(host.root, "bases/old/versions/1.json")),
    bases: true,
  }),
  verb("base export", "base export b DIR/work/out.tar", {
    name: "base export, an archive",
    done: /exists/,
    proof: has(({ dir }) => join(dir, "work/out.tar")),
  }),
  verb("base export", "base export b oci:DIR/work/out:1", {
    name: "base export, a layout",
    proof: has(({ dir }) => join(dir, "work/out/index.json")),
  }),
  verb("base use", "base use b@1", { bases: true }),
  verb("base new", "base new apps --from b", {
    done: /already|exists/,
    proof: has(base("apps")),
    bases: true,
  }),
  verb("base edit", "base edit line -- touch /edited", { name: "base edit, a command", bases: true }),
  verb("base edit", "base edit line", {
    name: "base edit, a session",
    done: /session/,
    proof: has(({ host }) => join(host.root, "bases/line/session")),
    finish: (world) => world.veneer("base", "abort", "line"),
  }),
  verb("base commit", "base commit line --always", {
    prepare: editing,
    done: /no session|not being edited|no editing session/,
    bases: true,
  }),
  verb("base abort", "base abort line", {
    prepare: editing,
    done: /no session|not being edited|no editing session/,
    bases: true,
  }),
  verb("base shift", "base shift b --uidmap 0:100000:65536", { bases: true }),
  verb("base update", "base update line", { bases: true }),
  verb("base share", "base share b", { finish: (world) => world.veneer("base", "unshare", "b") }),
  verb("base unshare", "base unshare b", {
    prepare: (world) => world.ok("base", "share", "b"),
    done: /not shared/,
  }),
  // instances
  verb("create", "create new b", { done: /exists/, proof: has(instance("new")) }),
  verb("mount", "mount web", { done: /is mounted/, finish: (world) => world.veneer("umount", "web") }),
  verb("mounted", "mounted web", {
    reads: true,
    prepare: (world) => world.ok("mount", "web"),
    finish: (world) => world.veneer("umount", "web"),
  }),
  verb("umount", "umount web", { prepare: (world) => world.ok("mount", "web"), done: /not mounted/ }),
  verb("clone", "clone kept copy", { done: /exists/, proof: has(instance("copy")) }),
  verb("commit", "commit kept made", { done: /exists/, proof: has(base("made")), bases: true }),
  verb("rm", "rm web", { done: /no instance/, proof: hasNot(instance("web")) }),
  verb("cutover", "cutover web b@2", { done: /is on/, proof: isOn("web", 2) }),
  verb("fallback", "fallback web", {
    prepare: (world) => world.ok("cutover", "web", "b@2"),
    done: /no earlier|no generation|nothing to/,
    proof: isOn("web", 1),
  }),
  verb("rebase", "rebase kept b@2", { name: "rebase, stopped", done: /is on/, proof: isOn("kept", 2) }),
  verb("rebase", "rebase --pause-limit 60000 live b@2", {
    name: "rebase, running",
    prepare: background("live", "b@1"),
    done: /is on/,
    proof: isOn("live", 2),
    finish: (world) => world.veneer("stop", "live", "--time", "0"),
  }),
  verb("rollout", "rollout b --pause-limit 60000", {
    prepare: background("live", "b@1"),
    proof: isOn("web", 2),
    finish: (world) => world.veneer("stop", "live", "--time", "0"),
  }),
  verb("adopt", "adopt own --lxcpath DIR/lxc --base b@1", {
    prepare: foreign,
    done: /is not an overlay|no overlay of its own|already|stands on/,
    proof: has(instance("own")),
  }),
  // look
  verb("ls", "ls", { reads: true }),
  verb("ps", "ps", {
    reads: true,
    prepare: background("live", "b@1"),
    finish: (world) => world.veneer("stop", "live", "--time", "0"),
  }),
  verb("tree", "tree", { reads: true }),
  verb("inspect", "inspect kept", { reads: true }),
  verb("diff", "diff kept", { reads: true }),
  verb("df", "df", { reads: true }),
  verb("config", "config", { reads: true }),
  verb("events", "events", { reads: true }),
  verb("metrics", "metrics", { reads: true }),
  verb("doctor", "doctor"),
  verb("completion", "completion bash", { reads: true }),
  {
    name: "nri",
    covers: "nri",
    program: "small",
    reads: true,
    // a runtime that takes what the plugin says, and ends
    call(world, tracer) {
      const options = tracer.length > 0 ? [...SMALL_ONLY, ...tracer] : tracer;
      const { file, args } = traced(options, PROGRAM, [...world.words, "nri"]);
      return { file: "sh", args: ["-c", 'NRI_PLUGIN_SOCKET=3 exec "$0" "$@" 3<>/dev/null', file, ...args] };
    },
  },
  // run
  verb("run", "run b -- cat /etc/version", { name: "run, ephemeral", shows: "2" }),
  verb("run", "run b --tmpfs 1m -- cat /etc/version", { name: "run, in memory", shows: "2" }),
  verb("run", "run b --name new -- cat /etc/version", { name: "run, an instance", shows: "2" }),
  verb("run", "run b --uidmap 0:100000:65536 -- cat /etc/version", {
    name: "run, a user namespace",
    shows: "2",
  }),
  verb("run", "run b -d --name live -- sleep 1000", {
    name: "run, in the background",
    background: true,
    done: /is running|is held/,
    finish: (world) => world.veneer("stop", "live", "--time", "0"),
  }),
  verb("exec", "exec live -- cat /etc/version", {
    prepare: background("live", "b@1"),
    shows: "1",
    finish: (world) => world.veneer("stop", "live", "--time", "0"),
  }),
  verb("logs", "logs live", {
    reads: true,
    prepare: (world) =>
      world.ok("run", "b@1", "-d", "--name", "live", "--", "sh", "-c", "echo said; exec sleep 1000"),
    finish: (world) => world.veneer("stop", "live", "--time", "0"),
  }),
  verb("stop", "stop live --time 0", {
    prepare: background("live", "b@1"),
    done: /no container|not running/,
  }),
  verb("bundle", "bundle b DIR/work/bundle", { done: /not empty|exists/ }),
  // keep tidy
  verb("gc", "gc", {
    prepare: async ({ host }) => {
      for (const path of ["layers/x/tree", "ephemeral/y/upper", "staging/z", "trash/t"])
        mkdirSync(join(host.root, path), { recursive: true });
    },
  }),
  verb("dedupe", "dedupe", { bases: true }),
  // for engines
  verb("setup", "setup podman --etc DIR/work", {
    name: "setup podman",
    finish: (world) => world.veneer("unsetup", "podman", "--etc", join(world.dir, "work")),
  }),
  verb("setup", "setup cdi --etc DIR/work", {
    name: "setup cdi",
    finish: (world) => world.veneer("unsetup", "cdi", "--etc", join(world.dir, "work")),
  }),
  verb("unsetup", "unsetup podman --etc DIR/work", {
    prepare: (world) => world.ok("setup", "podman", "--etc", join(world.dir, "work")),
  }),
  hook(["createRuntime"], [], "createRuntime"),
  hook(["createRuntime"], ["--tmpfs", "1m"], "createRuntime, in memory"),
  hook(["createRuntime"], ["--instance", "new", "--persistent"], "createRuntime, an instance"),
  hook(["poststop"], [], "poststop"),
  {
    ...verb("hook", "hook precreate", { input: CONFIG("b") }),
    name: "hook precreate",
    covers: "hook precreate",
    program: "small",
    // the record is of the caller, which is gone: gc takes it
  },
  lxc("lxc.hook.pre-mount", (veneer) => LXC_PLAIN(veneer), "pre-mount"),
  lxc("lxc.hook.post-stop", (veneer) => LXC_PLAIN(veneer), "post-stop"),
  runtime("run", { "run.veneer.base": "b" }),
  runtime("run", { "run.veneer.base": "b", "run.veneer.tmpfs": "1m" }),
  runtime("run", { "run.veneer.base": "b", "run.veneer.instance": "new", "run.veneer.upper": "persistent" }),
  runtime("create", { "run.veneer.base": "b" }),
  // internal
  verb("internal complete", (world) => ["internal", "complete", "--", "--root", world.host.root, "rm", ""], {
    reads: true,
  }),
  verb("internal doctor", "internal doctor"),
  verb("internal merge", "internal merge web", { prepare: parts }),
  verb("internal recover", "internal recover"),
  verb("internal sum-files", (world) => ["internal", "sum-files", world.tree, "0", "1"], { reads: true }),
];

const LXC_PLAIN = (veneer: string) => [
  `lxc.hook.pre-mount = ${veneer} hook lxc --base b`,
  `lxc.hook.post-stop = ${veneer} hook lxc`,
];

/** Covered as a part of others, or elsewhere: by what. */
const WITHIN: Readonly<Record<string, string>> = {
  unshare: "for users without root: test/e2e/rootless.test.ts",
  hook: "hook oci, hook lxc, hook precreate",
  runtime: "runtime run, runtime create",
  "internal enter-session": "base edit, a command",
  "runtime checkpoint": "needs CRIU that works on this kernel: test/e2e/checkpoint.test.ts",
  "runtime restore": "needs CRIU that works on this kernel: test/e2e/checkpoint.test.ts",
};

/** Verbs, hooks and commands of the runtime that nothing here tries. */
export function missingOperations(): string[] {
  const hooks = HOOK_KINDS.map((kind) => `hook ${kind}`);
  const commands = [...PREPARED.keys()].map((command) => `runtime ${command}`);
  const covered = new Set([...OPERATIONS.map(({ covers }) => covers), ...Object.keys(WITHIN)]);
  return [...verbNames(), ...INTERNAL_VERBS, ...hooks, ...commands].filter((name) => !covered.has(name));
}

/** An LXC container with an overlay of its own. */
async function foreign({ dir, tree }: World): Promise<void> {
  const own = join(dir, "lxc/own");
  mkdirSync(join(own, "delta0"), { recursive: true });
  writeFileSync(join(own, "delta0/mine"), "mine");
  const lines = [`lxc.rootfs.path = overlay:${tree}:${own}/delta0`, "lxc.net.0.type = empty", ""];
  writeFileSync(join(own, "config"), lines.join("\n"));
}

/** An instance with an upper in parts, as a live rebase leaves it. */
async function parts(world: World): Promise<void> {
  await change(world, "web", "first");
  await addPart(world.host, "web");
}
