import { namesWithoutDevice } from "../../engines/cdi.ts";
import type { EngineSetup } from "../../engines/engine.ts";
import { lxcContainer, lxcDefaults } from "../../engines/lxc.ts";
import { holdRoots, lxcLine, lxcRoot, makeMissing } from "../../engines/lxc-root.ts";
import { nspawn } from "../../engines/nspawn.ts";
import { carryOutSetup, formatEdits, planSetup, whatNow } from "../../engines/setup.ts";
import { UsageError } from "../../errors.ts";
import { instanceOfRoot } from "../../instances/lxc-mount.ts";
import { checkName, parseBaseRef } from "../../text/names.ts";
import type { Command, Context, Input, Option } from "../framework/command.ts";
import { readUpperOptions, UPPER_OPTIONS } from "../framework/upper-options.ts";
import {
  engineOf,
  hookGlobals,
  LXCPATH_OPTION,
  lxcContainerOf,
  machineOf,
  SETUP_OPERANDS,
  SETUP_OPTIONS,
  setupRequest,
} from "./setup-common.ts";
import { isLxdKind, setupLxd } from "./setup-lxd.ts";

/** The options for a container, a machine or a profile that is given a base. */
const ROOT_OPTIONS: readonly Option[] = [
  { name: "--base", value: "BASE[@V]", help: "with NAME: the base", complete: "base" },
  { name: "--persistent", help: "with NAME: keep the writes, in an instance of the container's name" },
  {
    name: "--instance",
    value: "ID",
    help: "lxc, nspawn: keep the writes, in this instance",
    complete: "instance",
  },
  ...UPPER_OPTIONS.map((option) => ({ ...option, help: `with NAME: ${option.help}` })),
];

const LXC_OPTIONS: readonly Option[] = [
  { name: "--hookless", help: "lxc NAME: LXC mounts the instance itself, with no hook at its start" },
  LXCPATH_OPTION,
];

export const command: Command = {
  name: "setup",
  summary:
    "Configure an engine to use veneer: lxc, lxd, incus, nspawn, podman, docker, containerd, crio, cdi or nri",
  operands: SETUP_OPERANDS,
  options: [...SETUP_OPTIONS, ...ROOT_OPTIONS, ...LXC_OPTIONS],
  outside: true,
  description: `Writes a drop-in file, or merges a key into the engine's own configuration and leaves everything else
in it as it is. What was there before is kept for 'veneer unsetup'. A second run changes nothing.
setup never restarts the engine; it prints what you have to do.

With lxc and a NAME, it gives that container its base, in the container's own configuration, which is created if it
does not exist. With lxc alone, it puts the hooks into the configuration of new containers, whose lxc.environment then names the
base.

With nspawn and a NAME, it gives that machine of systemd-nspawn its root: 'machinectl start NAME' mounts the root, and the
end of the machine unmounts it.

With lxd or incus and the NAME of a profile, which is created if it does not exist, it gives the containers of that profile
the base.

With nri, it puts a plugin where containerd looks for it: a pod with the annotation run.veneer.base then needs no RuntimeClass.

With cdi, it writes a CDI specification with a device for each base, veneer.run/base=NAME, which follows the bases as they
are made and removed.`,
  examples: [
    "veneer setup docker --dry-run",
    "veneer setup podman",
    "veneer setup cdi",
    "veneer setup lxc web1 --base debian --persistent",
    "veneer setup nspawn web1 --base debian --persistent",
    "veneer setup incus veneer --base debian --persistent",
  ],
  run(context, input) {
    const { store } = context.settings;
    if (isLxdKind(input.operands[0])) return setupLxd(context, input);
    const { engine, begin } = prepare(context, input);
    const plan = () => planSetup(store, engine, setupRequest(context, input));
    if (input.has("--dry-run")) {
      const edits = plan();
      if (edits.length > 0) context.out(formatEdits(edits).trimEnd());
      return;
    }
    using _held = begin?.();
    const edits = plan();
    if (edits.length > 0) carryOutSetup(store, engine, edits);
    for (const { path } of edits) context.out(path);
    context.note(edits.length === 0 ? `${engine.name} is set up already` : `now: ${whatNow(engine, edits)}`);
    context.note(`then: ${engine.use}`);
    for (const base of engine.name === "cdi" ? namesWithoutDevice(store) : []) {
      context.note(`base ${base} has no device: a device's name ends in a letter or digit`);
    }
  },
};

interface Prepared {
  readonly engine: EngineSetup;
  /** creates what must exist before the engine's files name it, and locks it until they are written */
  readonly begin?: () => Disposable;
}

function prepare(context: Context, input: Input): Prepared {
  switch (input.operands[0]) {
    case "lxc":
      return lxcEngine(context, input);
    case "nspawn":
      refuse(LXC_OPTIONS, input, "lxc NAME");
      return nspawnEngine(context, input);
    default:
      refuseNameOptions(input);
      return { engine: engineOf(context, input) };
  }
}

function refuse(options: readonly Option[], input: Input, where: string): void {
  const given = options.find(({ name }) => input.has(name));
  if (given) throw new UsageError(`${given.name} is an option of 'veneer setup ${where}'`);
}

function refuseNameOptions(input: Input): void {
  refuse(ROOT_OPTIONS, input, "lxc|nspawn|lxd|incus NAME");
  refuse(LXC_OPTIONS, input, "lxc NAME");
}

/** Reads the options that describe the root of `name`. */
function rootOf({ settings }: Context, input: Input, name: string, persistent = input.has("--persistent")) {
  const base = input.value("--base");
  const instance = input.value("--instance");
  return lxcRoot(settings.store, name, {
    ...(base !== undefined && { base: parseBaseRef(base) }),
    ...(instance !== undefined && { instance: checkName("instance", instance) }),
    persistent,
    ...(UPPER_OPTIONS.some(({ name }) => input.has(name)) && { options: readUpperOptions(input) }),
  });
}

function nspawnEngine(context: Context, input: Input): Prepared {
  const name = machineOf(input);
  const root = rootOf(context, input, name);
  return {
    engine: nspawn(context.settings.store, name, root, hookGlobals(context)),
    begin() {
      makeMissing(context.settings, root);
      return new DisposableStack();
    },
  };
}

function lxcEngine(context: Context, input: Input): Prepared {
  const { settings } = context;
  const { etc } = setupRequest(context, input);
  const container = lxcContainerOf(input, input.operands[1], etc);
  const globals = hookGlobals(context);
  if (!container) {
    refuseNameOptions(input);
    return { engine: lxcDefaults(globals) };
  }
  const { store } = settings;
  const hookless = input.has("--hookless");
  const root = rootOf(context, input, container.name, input.has("--persistent") || hookless);
  const line = hookless ? { line: lxcLine(store, root) } : root;
  const isOurs = (overlay: string) => instanceOfRoot(store, overlay) !== undefined;
  return {
    engine: lxcContainer(container, line, globals, etc, isOurs),
    begin() {
      makeMissing(settings, root);
      return holdRoots(store, container, hookless && "instance" in root ? root.instance : undefined);
    },
  };
}
