/** The command line of an OCI runtime, as engines write it for runc and crun. */
export interface RuntimeCall {
  readonly command: string;
  readonly id: string;
  /** as given; absent: the working directory */
  readonly bundle?: string;
  /** crun's --config */
  readonly config?: string;
  /** where the runtime keeps its containers' state */
  readonly root?: string;
  /** where the caller expects error messages */
  readonly log?: string;
  readonly logFormat?: string;
}

/** Options that take a value in the next word, by either runtime. Go's flags know one dash as well as two. */
const GLOBAL_VALUES = new Set([
  "log",
  "log-format",
  "root",
  "log-level",
  "criu",
  "rootless",
  "cgroup-manager",
]);
const COMMAND_VALUES = new Set([
  "bundle",
  "b",
  "config",
  "f",
  "console-socket",
  "pid-file",
  "pidfd-socket",
  "preserve-fds",
  // restore and checkpoint
  "image-path",
  "work-path",
  "manage-cgroups-mode",
  "empty-ns",
  "lsm-profile",
  "lsm-mount-context",
  // checkpoint
  "parent-path",
  "page-server",
  "status-fd",
]);

/**
 * Reads what is needed of `create`, `run`, `restore` or `checkpoint`. Undefined where no container is named or help is asked
 * for: a runtime then starts nothing, and says what is wrong in its own words.
 */
export function parseRuntimeCall(words: readonly string[]): RuntimeCall | undefined {
  const values = new Map<string, string>();
  let command: string | undefined;
  let id: string | undefined;
  for (let index = 0; index < words.length; index++) {
    const word = words[index] as string;
    if (word === "--") {
      id = words[index + 1];
      break;
    }
    if (word === "--help" || word === "-h") return undefined;
    if (word.startsWith("-") && word !== "-") {
      index += readOption(
        word,
        words[index + 1],
        command === undefined ? GLOBAL_VALUES : COMMAND_VALUES,
        values,
      );
    } else if (command === undefined) command = word;
    else {
      id = word;
      break;
    }
  }
  if (command === undefined || id === undefined) return undefined;
  const optional = (key: string, ...names: string[]) => {
    const value = names.map((name) => values.get(name)).find((found) => found !== undefined);
    return value === undefined ? {} : { [key]: value };
  };
  return {
    command,
    id,
    ...optional("bundle", "bundle", "b"),
    ...optional("config", "config", "f"),
    ...optional("root", "root"),
    ...optional("log", "log"),
    ...optional("logFormat", "log-format"),
  };
}

/** Notes an option's value; returns how many more words it took. */
function readOption(
  word: string,
  following: string | undefined,
  takesValue: ReadonlySet<string>,
  values: Map<string, string>,
): number {
  const equals = word.indexOf("=");
  const name = word.slice(0, equals < 0 ? undefined : equals).replace(/^--?/, "");
  if (equals >= 0) values.set(name, word.slice(equals + 1));
  else if (takesValue.has(name)) {
    if (following !== undefined) values.set(name, following);
    return 1;
  } else if (/^-[bf]./.test(word)) values.set(word[1] as string, word.slice(2)); // crun: -bDIR
  return 0;
}
