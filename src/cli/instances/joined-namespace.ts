/** Finds the user namespace of a running container: a user's command must be in it to change the container. */

import { withProcesses } from "../../inventory/running.ts";
import { listRecords } from "../../store/records.ts";
import { checkName } from "../../text/names.ts";
import type { Context, Input } from "../framework/command.ts";

/** The first process of the container that the first operand names, by its own name or by its instance. */
export function processOfOperand(context: Context, input: Input): number | undefined {
  const id = checkName("instance", input.operands[0] ?? "");
  const records = listRecords(context.settings.store, "", () => {}).filter(
    ({ engine, instance, container }) => engine !== "mount" && (instance === id || container === id),
  );
  return withProcesses(records).find(({ pid }) => pid !== undefined)?.pid;
}
