/** Files that a running container has open and that block a switch to another root. */
import { VeneerError } from "../errors.ts";
import type { Fd } from "../sys/fd.ts";
import { type Blocker, blockerLine, blockers, type OpenFile } from "./file-blockers.ts";
import type { LiveContainer } from "./inspect.ts";
import { type Found, findInParts, isJournal } from "./link-open-files.ts";
import { lookPatiently } from "./look.ts";
import { type Opened, openForWriting } from "./open-files.ts";
import { boundSockets } from "./sockets.ts";

/** A container's own uppers, open. */
export interface Uppers {
  /** those that are among the new layers, top first: what is written there stays visible */
  readonly parts: readonly Fd[];
  /** uppers that are no longer layers (`foldParts`), in which files of the parts have links */
  readonly folded?: readonly Fd[];
  /** those of the generation that the container leaves, top first: what is written there is no longer visible */
  readonly left: readonly Fd[];
}

/** What would block a switch to another root now, as far as this can be seen while the container runs. */
export function findBlockers(container: LiveContainer, uppers: Uppers, moved: boolean): Blocker[] {
  const { members, rootIds } = container;
  const open = judge(openForWriting(members.pids, rootIds, lookPatiently), uppers, moved);
  return [...socketBlockers(container), ...blockers(open.map(({ file }) => file))];
}

export function socketBlockers({ init, members, rootIds }: LiveContainer): Blocker[] {
  const rest = { kind: "socket", reads: true, locked: false, otherNames: 0 } as const;
  const files = boundSockets(init.pid, members.pids, rootIds).map((socket) => ({ ...socket, ...rest }));
  return blockers(files);
}

export interface Judged {
  readonly file: OpenFile;
  readonly found?: Found;
}

/**
 * Leaves out files that no path leads to any more. `moved`: the whole first part moves into the new upper, so that
 * its files keep all their names. `pace` is called before each file, and may throw.
 */
export function judge(
  opened: readonly Opened[],
  { parts, folded, left }: Uppers,
  moved: boolean,
  pace: () => void = () => {},
): Judged[] {
  return opened.flatMap((one): Judged[] => {
    pace();
    const file = { ...one, otherNames: 0 };
    if (one.kind === "fifo") return [{ file }];
    const found = findInParts(parts, one, folded);
    if (found) {
      const reads = file.reads && !isJournal(parts[found.part] as Fd, found.path);
      const otherNames = moved && found.part === 0 ? 0 : found.otherNames;
      return [{ file: { ...file, reads, otherNames }, found }];
    }
    return findInParts(left, one) ? [{ file: { ...file, left: true } }] : [];
  });
}

/** Adds the command lines of the processes, which could not be asked while the processes were frozen. */
export function withCommands(all: readonly Blocker[]): Blocker[] {
  const command = lookPatiently.commands([...new Set(all.map(({ pid }) => pid))]);
  return all.map((one) => ({ ...one, command: command(one.pid) || one.command }));
}

/** Throws where there are any, unless `force` is set. */
export function refuseBlockers(
  all: readonly Blocker[],
  { force, verb }: { readonly force: boolean; readonly verb: string },
): void {
  if (all.length === 0 || force) return;
  const [first, ...rest] = all as [Blocker, ...Blocker[]];
  const more = rest.length === 0 ? "" : ` (and ${rest.length} more: --dry-run lists them)`;
  throw new VeneerError("OPEN_FILES", `${blockerLine(first)}${more}`, {
    hint: `stop or restart that program, or ${verb} anyway with --force`,
  });
}
