import type { EngineSetup } from "../../engines/engine.ts";
import { lxcContainerRemoval, lxcDefaults } from "../../engines/lxc.ts";
import type { LxcContainer } from "../../engines/lxc-container.ts";
import { holdRoots } from "../../engines/lxc-root.ts";
import { nspawnRemoval } from "../../engines/nspawn.ts";
import { carryOutUnsetup, formatEdits, planUnsetup, whatNow } from "../../engines/setup.ts";
import { UsageError } from "../../errors.ts";
import type { Command, Context, Input } from "../framework/command.ts";
import {
  engineOf,
  LXCPATH_OPTION,
  lxcContainerOf,
  machineOf,
  SETUP_OPERANDS,
  SETUP_OPTIONS,
  setupRequest,
} from "./setup-common.ts";
import { isLxdKind, unsetupLxd } from "./setup-lxd.ts";

export const command: Command = {
  name: "unsetup",
  outside: true,
  summary: "Revert what setup changed for an engine",
  operands: SETUP_OPERANDS,
  options: [...SETUP_OPTIONS, LXCPATH_OPTION],
  description: `A file that nobody has changed since setup becomes byte for byte what it was before. From a file that somebody has
changed, only what setup added is removed. With a NAME: the configuration of that container, machine or
profile; instances stay.`,
  run(context, input) {
    if (isLxdKind(input.operands[0])) return unsetupLxd(context, input);
    const container = lxcContainerOf(input, input.operands[1], setupRequest(context, input).etc);
    const engine = engineFor(context, input, container);
    const { store } = context.settings;
    const plan = () => planUnsetup(store, engine, setupRequest(context, input));
    if (input.has("--dry-run")) {
      const edits = plan();
      if (edits.length > 0) context.out(formatEdits(edits).trimEnd());
      return;
    }
    using _held = container ? holdRoots(store, container) : undefined;
    const edits = plan();
    carryOutUnsetup(store, engine, edits);
    for (const { path } of edits) context.out(path);
    context.note(edits.length === 0 ? `${engine.name} is not set up` : `now: ${whatNow(engine, edits)}`);
  },
};

function engineFor(context: Context, input: Input, container: LxcContainer | undefined): EngineSetup {
  if (input.operands[0] === "lxc") return container ? lxcContainerRemoval(container) : lxcDefaults([]);
  if (input.operands[0] === "nspawn")
    return nspawnRemoval(machineOf(input), setupRequest(context, input).etc);
  if (input.has(LXCPATH_OPTION.name))
    throw new UsageError(`--lxcpath is an option of 'veneer unsetup lxc NAME'`);
  return engineOf(context, input);
}
