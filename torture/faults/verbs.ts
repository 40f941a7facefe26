/** What `npm run torture` tries of each verb. More than 250 lines: it is a table. */
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { SMALL_VERBS } from "../../src/cli/framework/small-verbs.ts";
import { PROGRAM } from "../../test/helpers/host.ts";
import { addPart } from "../../test/helpers/parts.ts";
import { type Operation, type Operations, SMALL_ONLY, traced } from "./operation.ts";
import type { World } from "./world.ts";

/** A command line with what holds of it; its name is the verb's unless it has one. */
type Case = Partial<Omit<Operation, "program" | "call">> & {
  /** DIR is the world's directory */
  readonly words: string | ((world: World) => string[]);
};

const verb = (words: Case["words"], more: Omit<Case, "words"> = {}): Case => ({ words, ...more });

const has = (path: (world: World) => string) => (world: World) =>
  existsSync(path(world)) ? undefined : `${path(world)} is not there`;
const hasNot = (path: (world: World) => string) => (world: World) =>
  existsSync(path(world)) ? `${path(world)} is still there` : undefined;
const base = (name: string) => (world: World) => join(world.host.root, "bases", name, "base.json");
const instance = (id: string) => (world: World) => join(world.host.root, "instances", id, "instance.json");
const definition = (world: World, id: string) => JSON.parse(readFileSync(instance(id)(world), "utf8"));
const isOn = (id: string, version: number) => (world: World) =>
  definition(world, id).version === version ? undefined : `${id} is on ${definition(world, id).version}`;

const editing = (world: World) => world.ok("base", "edit", "line");

/** The directory of a layer of the store. */
const layerOf = ({ host }: World) =>
  join(host.root, "layers", readdirSync(join(host.root, "layers")).sort()[0] as string);

/** A container in the background, on an instance that is on b@1. */
const live = (world: World) =>
  world.ok("run", "b@1", "-d", "--name", "live", "--", "sh", "-c", "while :; do sleep 1; done");
const stopLive = (world: World) => world.veneer("stop", "live", "--time", "0");

const CASES: Readonly<Record<string, readonly Case[]>> = {
  // bases
  "base import": [
    verb("base import new DIR/tree2", {
      name: "base import, a directory",
      done: /.^/,
      proof: has(base("new")),
      bases: true,
    }),
    verb("base import line DIR/tree2", { name: "base import, a next version", bases: true }),
    verb(({ image }) => ["base", "import", "image", image], {
      name: "base import, an image",
      proof: has(base("image")),
      bases: true,
    }),
  ],
  "base ls": [verb("base ls", { reads: true })],
  "base show": [verb("base show b", { reads: true })],
  "base log": [verb("base log b", { reads: true })],
  "base diff": [verb("base diff b@1 b@2", { reads: true })],
  "base verify": [verb("base verify b@2", { reads: true })],
  "base policy": [verb("base policy line", { reads: true })],
  "base rm": [verb("base rm line", { done: /no base line/, proof: hasNot(base("line")), bases: true })],
  "base prune": [
    verb("base prune old", {
      proof: hasNot(({ host }) => join(host.root, "bases/old/versions/1.json")),
      bases: true,
    }),
  ],
  "base export": [
    verb("base export b DIR/work/out.tar", {
      name: "base export, an archive",
      done: /exists/,
      proof: has(({ dir }) => join(dir, "work/out.tar")),
    }),
    verb("base export b oci:DIR/work/out:1", {
      name: "base export, a layout",
      proof: has(({ dir }) => join(dir, "work/out/index.json")),
    }),
  ],
  "base use": [verb("base use b@1", { bases: true })],
  "base new": [
    verb("base new apps --from b", {
      done: /already|exists/,
      proof: has(base("apps")),
      bases: true,
    }),
  ],
  "base edit": [
    verb("base edit line -- touch /edited", { name: "base edit, a command", bases: true }),
    verb("base edit line", {
      name: "base edit, a session",
      done: /session/,
      proof: has(({ host }) => join(host.root, "bases/line/session")),
      finish: (world) => world.veneer("base", "abort", "line"),
    }),
  ],
  "base commit": [
    verb("base commit line --always", {
      prepare: editing,
      done: /no session|not being edited|no editing session/,
      bases: true,
    }),
  ],
  "base abort": [
    verb("base abort line", {
      prepare: editing,
      done: /no session|not being edited|no editing session/,
      bases: true,
    }),
  ],
  "base shift": [verb("base shift b --uidmap 0:100000:65536", { bases: true })],
  "base update": [verb("base update line", { bases: true })],
  "base share": [verb("base share b", { finish: (world) => world.veneer("base", "unshare", "b") })],
  "base unshare": [
    verb("base unshare b", {
      prepare: (world) => world.ok("base", "share", "b"),
      done: /not shared/,
    }),
  ],
  // instances
  create: [verb("create new b", { done: /exists/, proof: has(instance("new")) })],
  mount: [verb("mount web", { done: /is mounted/, finish: (world) => world.veneer("umount", "web") })],
  mounted: [
    verb("mounted web", {
      reads: true,
      prepare: (world) => world.ok("mount", "web"),
      finish: (world) => world.veneer("umount", "web"),
    }),
  ],
  umount: [verb("umount web", { prepare: (world) => world.ok("mount", "web"), done: /not mounted/ })],
  clone: [verb("clone kept copy", { done: /exists/, proof: has(instance("copy")) })],
  commit: [verb("commit kept made", { done: /exists/, proof: has(base("made")), bases: true })],
  rm: [verb("rm web", { done: /no instance/, proof: hasNot(instance("web")) })],
  cutover: [verb("cutover web b@2", { done: /is on/, proof: isOn("web", 2) })],
  fallback: [
    verb("fallback web", {
      prepare: (world) => world.ok("cutover", "web", "b@2"),
      done: /no earlier|no generation|nothing to/,
      proof: isOn("web", 1),
    }),
  ],
  rebase: [
    verb("rebase kept b@2", { name: "rebase, stopped", done: /is on/, proof: isOn("kept", 2) }),
    verb("rebase --pause-limit 60000 live b@2", {
      name: "rebase, running",
      prepare: live,
      done: /is on/,
      proof: isOn("live", 2),
      finish: stopLive,
    }),
  ],
  rollout: [
    verb("rollout b --pause-limit 60000", {
      prepare: live,
      proof: isOn("web", 2),
      finish: stopLive,
    }),
  ],
  adopt: [
    verb("adopt own --lxcpath DIR/lxc --base b@1", {
      prepare: foreign,
      done: /is not an overlay|no overlay of its own|already|stands on/,
      proof: has(instance("own")),
    }),
  ],
  // look
  ls: [verb("ls", { reads: true })],
  ps: [
    verb("ps", {
      reads: true,
      prepare: live,
      finish: stopLive,
    }),
  ],
  tree: [verb("tree", { reads: true })],
  inspect: [verb("inspect kept", { reads: true })],
  diff: [verb("diff kept", { reads: true })],
  df: [verb("df", { reads: true })],
  config: [verb("config", { reads: true })],
  events: [verb("events", { reads: true })],
  metrics: [verb("metrics", { reads: true })],
  doctor: [verb("doctor")],
  completion: [verb("completion bash", { reads: true })],
  // run
  run: [
    verb("run b -- cat /etc/version", { name: "run, ephemeral", shows: "2" }),
    verb("run b --tmpfs 1m -- cat /etc/version", { name: "run, in memory", shows: "2" }),
    verb("run b --name new -- cat /etc/version", { name: "run, an instance", shows: "2" }),
    verb("run b --uidmap 0:100000:65536 -- cat /etc/version", {
      name: "run, a user namespace",
      shows: "2",
    }),
    verb("run b -d --name live -- sleep 1000", {
      name: "run, in the background",
      background: true,
      done: /is running|is held/,
      finish: stopLive,
    }),
  ],
  exec: [
    verb("exec live -- cat /etc/version", {
      prepare: live,
      shows: "1",
      finish: stopLive,
    }),
  ],
  logs: [
    verb("logs live", {
      reads: true,
      prepare: (world) =>
        world.ok("run", "b@1", "-d", "--name", "live", "--", "sh", "-c", "echo said; exec sleep 1000"),
      finish: stopLive,
    }),
  ],
  stop: [
    verb("stop live --time 0", {
      prepare: live,
      done: /no container|not running/,
    }),
  ],
  bundle: [verb("bundle b DIR/work/bundle", { done: /not empty|exists/ })],
  // keep tidy
  gc: [
    verb("gc", {
      prepare: async ({ host }) => {
        for (const path of ["layers/x/tree", "ephemeral/y/upper", "staging/z", "trash/t"])
          mkdirSync(join(host.root, path), { recursive: true });
      },
    }),
  ],
  dedupe: [verb("dedupe", { bases: true })],
  // for engines
  setup: [
    verb("setup podman --etc DIR/work", {
      name: "setup podman",
      finish: (world) => world.veneer("unsetup", "podman", "--etc", join(world.dir, "work")),
    }),
    verb("setup cdi --etc DIR/work", {
      name: "setup cdi",
      finish: (world) => world.veneer("unsetup", "cdi", "--etc", join(world.dir, "work")),
    }),
  ],
  unsetup: [
    verb("unsetup podman --etc DIR/work", {
      prepare: (world) => world.ok("setup", "podman", "--etc", join(world.dir, "work")),
    }),
  ],
  // internal
  "internal complete": [
    verb((world) => ["internal", "complete", "--", "--root", world.host.root, "rm", ""], {
      reads: true,
    }),
  ],
  "internal doctor": [verb("internal doctor")],
  "internal merge": [verb("internal merge web", { prepare: parts })],
  "internal recover": [verb("internal recover")],
  "internal sum-files": [
    verb((world) => ["internal", "sum-files", layerOf(world), "0", "1"], { reads: true }),
  ],
};

/** The operations of each verb. */
export const VERBS: Operations = Object.fromEntries(
  Object.entries(CASES).map(([name, cases]) => [name, cases.map((one) => operationOf(name, one))]),
);

function operationOf(verb: string, { words, ...rest }: Case): Operation {
  const small = (SMALL_VERBS as readonly string[]).includes(verb);
  const list = (world: World) =>
    typeof words === "string" ? words.split(" ").map((word) => word.replace("DIR", world.dir)) : words(world);
  return {
    name: verb,
    program: small ? "small" : "large",
    call(world, tracer) {
      const options =
        tracer.length > 0 && small ? [...(rest.background ? ["-D"] : []), ...SMALL_ONLY, ...tracer] : tracer;
      return traced(options, PROGRAM, [...world.words, ...list(world)]);
    },
    ...rest,
  };
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
  writeFileSync(join(await world.ok("mount", "web"), "first"), "first");
  await world.ok("umount", "web");
  await addPart(world.host, "web");
}
