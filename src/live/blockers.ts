/** Files that a running container has open and that stand in the way of another root. */
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
  /** those that are among the new layers, top first: what is written stays visible */
  readonly parts: readonly Fd[];
  /** uppers that are layers no more (`foldParts`), in which files of the parts have links */
  readonly folded?: readonly Fd[];
  /** those of a generation that is left, top first: what is written there is not seen any more */
  readonly left: readonly Fd[];
}

/** What stands in the way of another root now, as far as it can be told while the container runs. */
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
 * Leaves out files that nobody can come to by a name. `moved`: all of the first of the parts goes along into the new
 * upper, so that files there keep all their names. `pace` is called before each, and may throw.
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

/** With the command lines of the processes, which could not be asked while they stood still. */
export function withCommands(all: readonly Blocker[]): Blocker[] {
  const command = lookPatiently.commands([...new Set(all.map(({ pid }) => pid))]);
  return all.map((one) => ({ ...one, command: command(one.pid) || one.command }));
}

/** Throws when there are any, unless they are to be passed over. */
export function refuseBlockers(
  all: readonly Blocker[],
  { force, verb }: { readonly force: boolean; readonly verb: string },
): void {
  if (all.length === 0 || force) return;
  const [first, ...rest] = all as [Blocker, ...Blocker[]];
  const more = rest.length === 0 ? "" : ` (and ${rest.length} more: --dry-run lists them)`;
  throw new VeneerError("OPEN_FILES", `${blockerLine(first)}${more}`, {
    hint: `stop or restart that program, or --force to ${verb} all the same`,
  });
}
