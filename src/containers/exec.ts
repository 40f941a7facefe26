/** One more command in a container of our own. */
import { VeneerError } from "../errors.ts";
import { withProcesses } from "../inventory/running.ts";
import { paths, type Store } from "../store/paths.ts";
import { findRecords } from "../store/records.ts";
import { readText } from "../sys/fd.ts";
import { runForeground } from "../sys/process/foreground.ts";
import { ANSWER_TIME, readWithin } from "../sys/process/read-within.ts";
import { withScratchFile } from "./bundle.ts";
import { ACCOUNTS_LIMIT } from "./facts.ts";
import { mergeEnvironment } from "./oci-config.ts";
import { type RunPlace, runtimeOf, runtimeWords, variables } from "./run.ts";
import { resolveUser } from "./user.ts";

export interface ExecOptions {
  readonly args: readonly string[];
  readonly env: readonly string[];
  readonly terminal: boolean;
  /** absent: as the container's own command */
  readonly cwd?: string;
  readonly user?: string;
}

/** Runs it to its end and returns its exit status. Throws NOT_RUNNING when the container is starting or ending. */
export function execInContainer(place: Omit<RunPlace, "runtime">, id: string, options: ExecOptions): number {
  const { store } = place;
  const runtime = runtimeOf(store, id);
  const config = readText(`${paths.bundle(store, id)}/config.json`);
  if (runtime === undefined || config === undefined) throw notRunning(id);
  // we wrote it
  const own = JSON.parse(config).process;
  const user = options.user === undefined ? undefined : userInside(store, id, options.user);
  const process = {
    ...own,
    args: options.args,
    terminal: options.terminal,
    cwd: options.cwd ?? own.cwd,
    env: mergeEnvironment(own.env, user ? [`HOME=${user.home}`] : [], options.env),
    ...(user && { user: { uid: user.uid, gid: user.gid, additionalGids: user.additionalGids } }),
  };
  return withScratchFile(store, JSON.stringify(process), (path) => {
    const words = runtimeWords({ ...place, runtime }, "exec", "--process", path, id);
    return runForeground(words, variables(place));
  });
}

/** Names are looked up in the files that the container has now. */
function userInside(store: Store, id: string, text: string) {
  const records = findRecords(store, id, paths.bundle(store, id));
  const pid = withProcesses(records).find((one) => one.pid !== undefined)?.pid;
  if (pid === undefined) throw notRunning(id);
  const files = ["passwd", "group"].map((name) => `/proc/${pid}/root//etc/${name}`);
  const found = readWithin(files, ANSWER_TIME);
  const [passwd, group] = files.map((file) => {
    const bytes = found.get(file);
    if (!bytes) {
      throw new VeneerError("NO_ANSWER", `the accounts of container ${id} cannot be read`, {
        hint: "its /etc is on a file system that does not answer: end its server, or leave out -u",
      });
    }
    if (bytes.length <= ACCOUNTS_LIMIT) return new TextDecoder().decode(bytes);
    throw new VeneerError("TOO_LARGE", `${file} is larger than ${ACCOUNTS_LIMIT} bytes`);
  });
  return resolveUser(text, { passwd, group });
}

function notRunning(id: string): VeneerError {
  return new VeneerError("NOT_RUNNING", `container ${id} is not running yet, or not any more`, {
    hint: "'veneer ps' lists what runs",
  });
}
