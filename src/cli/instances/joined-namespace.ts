/** The user namespace that a command of a user must be in to touch a running container: the container's. */

import { withProcesses } from "../../inventory/running.ts";
import { listRecords } from "../../store/records.ts";
import { checkName } from "../../text/names.ts";
import type { Context, Input } from "../framework/command.ts";

/** The first process of what runs on the instance, or by the container's name, that the first operand names. */
export function processOfOperand(context: Context, input: Input): number | undefined {
  const id = checkName("instance", input.operands[0] ?? "");
  const records = listRecords(context.settings.store, "", () => {}).filter(
    ({ engine, instance, container }) => engine !== "mount" && (instance === id || container === id),
  );
  return withProcesses(records).find(({ pid }) => pid !== undefined)?.pid;
}
