/** What the processes of a container have mapped and open, read from /proc. */
import { VeneerError } from "../errors.ts";
import { readText } from "../sys/fd.ts";
import { gone, nameOf } from "../sys/process/processes.ts";
import { ANSWER_TIME, readWithin } from "../sys/process/read-within.ts";
import { decodeStat, quickStat, STATX_BYTES, type Stat } from "../sys/stat.ts";

/** Each function asks for everything at once; the answer for a process that is gone is empty or undefined. */
export interface Look {
  /** of files in /proc/PID */
  texts(paths: readonly string[]): (path: string) => string;
  /** of files that processes have mapped, by their links in map_files */
  stats(links: readonly string[]): (link: string) => Stat | undefined;
  commands(pids: readonly number[]): (pid: number) => string;
}

/** Milliseconds to answer for what is only shown to people. */
const NAME_TIME = 1000;

/** Characters of a command line that people are shown. */
const COMMAND_LENGTH = 200;

const commandLine = (pid: number) => `/proc/${pid}/cmdline`;

/**
 * For running processes, which may keep whoever looks at them waiting for ever. Throws NO_ANSWER for one that does; a
 * process whose command line cannot be read is shown by the name of its program.
 */
export const lookPatiently: Look = {
  texts(paths) {
    const texts = answersOf(paths);
    return (path) => new TextDecoder().decode(texts.get(path));
  },
  stats(links) {
    const stats = answersOf(links);
    return (link) => {
      const bytes = stats.get(link);
      return bytes?.length === STATX_BYTES ? decodeStat(bytes) : undefined;
    };
  },
  commands(pids) {
    const lines = readWithin(pids.map(commandLine), NAME_TIME);
    return (pid) => {
      const line = new TextDecoder().decode(lines.get(commandLine(pid)));
      const words = line.split("\0").join(" ").trim();
      if (words === "") return bracketed(nameOf(pid));
      return words.length > COMMAND_LENGTH ? `${words.slice(0, COMMAND_LENGTH)}…` : words;
    };
  },
};

function answersOf(paths: readonly string[]): ReturnType<typeof readWithin> {
  const answers = readWithin(paths, ANSWER_TIME);
  const missing = paths.find((path) => !answers.has(path));
  if (missing === undefined) return answers;
  throw new VeneerError("NO_ANSWER", `process ${missing.split("/")[2]} cannot be inspected`, {
    hint: `it waits for a file server ('cat ${missing}' waits too): end it, or stop the container`,
  });
}

/**
 * For frozen processes: none of them can take a lock now. Their command lines may be in a file whose server is frozen
 * too, so they are shown by the names of their programs. `pace` is called before each file, and may throw.
 */
export function lookNow(pace: () => void): Look {
  return {
    texts: () => (path) => {
      pace();
      return gone(() => readText(path, undefined, TEXT_LIMIT)) ?? "";
    },
    stats: () => (link) => {
      const bytes = quickStat(link);
      return bytes && decodeStat(bytes);
    },
    commands: () => nameOf,
  };
}

const TEXT_LIMIT = 64 * 1024 * 1024;

function bracketed(name: string): string {
  return name === "" ? "" : `[${name}]`;
}
