/** Finds the container of `veneer run` that an operand names, by its id or the beginning of it. */
import { bundleIds } from "../../containers/bundle.ts";
import { isUp } from "../../containers/run.ts";
import { restartPlan } from "../../engines/restart-plan.ts";
import { VeneerError } from "../../errors.ts";
import { withProcesses } from "../../inventory/running.ts";
import { isLive } from "../../store/mounts/liveness.ts";
import { paths, type Store } from "../../store/paths.ts";
import { findRecords, listRecords, type UseRecord } from "../../store/records.ts";
import { checkContainerId } from "../../text/names.ts";
import { byPrefix } from "../../text/prefix.ts";
import type { Context, Input } from "../framework/command.ts";

/** What engines call a command: `podman stop`, `lxc-stop`. */
export interface EngineWords {
  readonly client: string;
  readonly lxc?: string;
}

/**
 * Returns the id of a running container of `veneer run`, or one of `others`. Throws VeneerError when there is none; for
 * a container of another engine, the hint gives that engine's command.
 */
export function findContainer(
  store: Store,
  operand: string | undefined,
  words: EngineWords,
  others: readonly string[] = [],
): string {
  const wanted = checkContainerId(operand ?? "");
  const up = bundleIds(store).filter((id) => isUp(store, id));
  const id = byPrefix([...up, ...others], wanted);
  if (id !== undefined) return id;
  const foreign = listRecords(store, "", () => {}).find(
    (record) => (record.container === wanted || record.instance === wanted) && isLive(record),
  );
  if (foreign) throw refuseForeign(foreign, wanted, words);
  throw new VeneerError("NOT_RUNNING", `no container of 'veneer run' is called ${wanted}`, {
    hint: "'veneer ps' lists what runs",
  });
}

function refuseForeign(record: UseRecord, wanted: string, words: EngineWords): VeneerError {
  if (record.engine === "mount") {
    return new VeneerError("NOT_RUNNING", `${wanted} is mounted by hand, and no container`, {
      hint: `'veneer umount ${wanted}' unmounts it`,
    });
  }
  const { container = wanted } = record;
  const plan = restartPlan(record);
  const lxc = words.lxc === undefined ? "its log is LXC's" : `'${words.lxc} -n ${container}'`;
  const runtime = "use the program that started it";
  const hint = record.engine === "lxc" ? lxc : plan && `'${plan.engine} ${words.client} ${container}'`;
  return new VeneerError("NOT_OURS", `${wanted} is a container of ${plan?.engine ?? "another program"}`, {
    hint: hint ?? runtime,
  });
}

/** The first process of the container, whose user namespace a user without root joins. */
export function processOfContainer({ settings: { store } }: Context, input: Input): number | undefined {
  const id = byPrefix(bundleIds(store), input.operands[0] ?? "");
  if (id === undefined) return undefined;
  return withProcesses(findRecords(store, id, paths.bundle(store, id))).find(({ pid }) => pid)?.pid;
}
