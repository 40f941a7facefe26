/** /etc/veneer/config.json. Absent is fine. */
import { UsageError } from "../errors.ts";
import validateConfig from "../generated/config.js";
import { checkInnerPath } from "../names.ts";
import { parseDocument } from "../store/document.ts";
import { DEFAULT_CONFIG, DEFAULT_ROOT, DEFAULT_RUN, type Store } from "../store/paths.ts";
import { readText } from "../sys/fd.ts";

export interface Config {
  readonly opaque: readonly string[];
  readonly mask: readonly string[];
  /** paths of real runtimes, by name */
  readonly runtimes: Readonly<Record<string, string>>;
}

export interface GlobalOptions {
  root?: string | undefined;
  run?: string | undefined;
  config?: string;
  debug?: boolean;
}

export interface Settings {
  readonly store: Store;
  readonly config: Config;
  readonly debug: boolean;
}

interface ConfigFile extends Partial<Config> {
  root?: string;
  run?: string;
}

/** Options win over the configuration file, which wins over the defaults. Reads no environment. */
export function readSettings(options: GlobalOptions): Settings {
  const path = options.config ?? DEFAULT_CONFIG;
  const text = readText(path);
  if (text === undefined && options.config !== undefined) {
    throw new UsageError(`configuration file ${path} does not exist`, "see 'veneer --help' for --config");
  }
  const file = text === undefined ? {} : parseDocument<ConfigFile>(text, path, validateConfig);
  return {
    store: { root: options.root ?? file.root ?? DEFAULT_ROOT, run: options.run ?? file.run ?? DEFAULT_RUN },
    config: {
      opaque: (file.opaque ?? ["/tmp", "/root"]).map((item) => checkInnerPath("opaque path", item)),
      mask: (file.mask ?? []).map((item) => checkInnerPath("masked path", item)),
      runtimes: file.runtimes ?? {},
    },
    debug: options.debug ?? false,
  };
}
