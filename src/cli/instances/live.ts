import { formatError } from "../../errors.ts";
import { blockerLine } from "../../live/file-blockers.ts";
import type { StaleUse } from "../../live/find-stale.ts";
import type { LiveOutlook } from "../../live/rebase.ts";
import type { LiveReport } from "../../live/switch-root.ts";
import { printablePath } from "../../text/file-names.ts";
import type { Context } from "../framework/command.ts";

/** Prints notes on what a live rebase or fallback did to a container. */
export function noteLive(
  context: Context,
  id: string,
  { pause, signals, blockers, stale, unseen, kept, stays }: LiveReport,
): void {
  if (signals) {
    context.note(`veneer: ${id} has no control group of its own: its processes were stopped by SIGSTOP`);
  }
  for (const blocker of blockers) context.note(`veneer: passed over: ${printablePath(blockerLine(blocker))}`);
  for (const place of kept) context.note(`veneer: stays on the old version: ${printablePath(place)}`);
  if (unseen) context.note(`veneer: what of ${id} needs a restart is not known: ${formatError(unseen)}`);
  noteLeft(context, { stale, stays });
  context.note(`veneer: ${id} was paused for ${pause.toFixed(1)} ms`);
}

/** Prints notes on what would block a live rebase, and on what it could not preserve. */
export function noteOutlook(context: Context, { blockers, stale, stays }: LiveOutlook): void {
  for (const blocker of blockers) context.note(`veneer: in the way: ${printablePath(blockerLine(blocker))}`);
  noteLeft(context, { stale, stays });
}

function noteLeft(
  context: Context,
  { stale, stays }: Pick<LiveOutlook, "stale"> & { stays?: string | undefined },
) {
  if (stays !== undefined) context.note(`veneer: ${staysLine(stays)}`);
  for (const line of staleSummary(stale)) context.note(`veneer: needs a restart: ${line}`);
}

/** Says what is not preserved when the changes of a container stay in their old upper. */
export function staysLine(why: string): string {
  return `until it is restarted, its own hard links are separated when they are written, and its own directories cannot be renamed: ${printablePath(why)}`;
}

/** One line per process: `process 12, nginx: worker: /usr/sbin/nginx (program), 14 libraries, /var/log/x`. */
export function staleSummary(stale: readonly StaleUse[]): string[] {
  const processes = new Map<number, StaleUse[]>();
  for (const use of stale) processes.set(use.pid, [...(processes.get(use.pid) ?? []), use]);
  return [...processes].map(([pid, uses]) => {
    const count = (kind: StaleUse["kind"], word: string) => {
      const found = uses.filter((use) => use.kind === kind);
      return found.length < 3 ? found.map(staleWhat) : [`${found.length} ${word}`];
    };
    const others = uses.filter(({ kind }) => kind !== "library" && kind !== "file").map(staleWhat);
    const what = [...others, ...count("library", "libraries"), ...count("file", "files")].join(", ");
    return printablePath(`process ${pid}, ${uses[0]?.command}: ${what}`);
  });
}

function staleWhat({ path, kind }: StaleUse): string {
  if (path === "") return kind;
  return kind === "library" || kind === "file" ? path : `${path} (${kind})`;
}
