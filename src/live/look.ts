/** What the processes of a container have in their memory and behind their descriptors, as files of /proc say it. */
import { VeneerError } from "../errors.ts";
import { readText } from "../sys/fd.ts";
import { gone, nameOf } from "../sys/process/processes.ts";
import { readWithin } from "../sys/process/read-within.ts";
import { decodeStat, quickStat, STATX_BYTES, type Stat } from "../sys/stat.ts";

/** Each asks for all at once; what belongs to a process that is gone is empty or undefined. */
export interface Look {
  /** of files of /proc/PID */
  texts(paths: readonly string[]): (path: string) => string;
  /** of files that processes have mapped, by their links in map_files */
  stats(links: readonly string[]): (link: string) => Stat | undefined;
  commands(pids: readonly number[]): (pid: number) => string;
}

/** Milliseconds for a container that runs to answer, and for what is only to be shown to people. */
const ANSWER_TIME = 15_000;
const NAME_TIME = 1000;

/** Characters that people are shown of a command line. */
const COMMAND_LENGTH = 200;

const commandLine = (pid: number) => `/proc/${pid}/cmdline`;

/**
 * Of processes that run, which may keep whoever looks at them waiting for ever. Throws NO_ANSWER where one does so;
 * without a command line a process has the name of its program.
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
  throw new VeneerError("NO_ANSWER", `process ${missing.split("/")[2]} does not let itself be looked at`, {
    hint: `it waits for a file server ('cat ${missing}' waits too): end it, or stop the container`,
  });
}

/**
 * Of processes that stand still: none of them can take a lock now. Their command lines may be in a file of a server that
 * stands still too, so they have names. `pace` is called before each file, and may throw.
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
