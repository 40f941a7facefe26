/** /etc/veneer/config.json, which need not exist. */
import { UsageError, VeneerError } from "../errors.ts";
import validateConfig from "../generated/config.js";
import { parseDocument } from "../store/document.ts";
import { DEFAULT_ROOT, DEFAULT_RUN, type Store } from "../store/paths.ts";
import { readText } from "../sys/fd.ts";
import { nearest } from "../text/did-you-mean.ts";
import { checkInnerPath } from "../text/names.ts";
import { quote } from "../text/quote.ts";
import { type DefaultPaths, defaultPaths } from "./default-paths.ts";

/** Patterns of names. */
export interface Nameable {
  readonly bases: readonly string[];
  readonly instances: readonly string[];
}

export interface Config {
  readonly opaque: readonly string[];
  readonly mask: readonly string[];
  /** paths of real runtimes, by name */
  readonly runtimes: Readonly<Record<string, string>>;
  /** patterns of bases and instances that annotations may name */
  readonly annotations: Nameable;
  /** patterns of bases and instances that a container's environment may name */
  readonly environment: Nameable;
  /** file to which starts, stops and failures are appended */
  readonly log?: string;
  readonly logFormat: "text" | "json";
  /** whether to copy a base for a user namespace where it cannot be idmapped */
  readonly shiftedCopy: boolean;
  /** whether to share identical files between layers */
  readonly shareFiles: boolean;
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

/** The file as written: every key may be absent. */
export interface ConfigFile extends Partial<Omit<Config, "annotations" | "environment">> {
  root?: string;
  run?: string;
  annotations?: Partial<Nameable>;
  environment?: Partial<Nameable>;
}

/** The default values; the schema has the same. */
const DEFAULTS = {
  root: DEFAULT_ROOT,
  run: DEFAULT_RUN,
  runtimes: {},
  opaque: ["/tmp", "/root"],
  mask: [],
  annotations: { bases: ["*"], instances: ["*"] },
  environment: { bases: [], instances: [] },
  logFormat: "text",
  shiftedCopy: false,
  shareFiles: true,
} as const;

/**
 * The contents of the file; {} where it does not exist. Throws when it is invalid, with the nearest known key in the
 * hint, and when a file that the user `named` does not exist.
 */
export function readConfigFile(path: string, named = false): ConfigFile {
  const text = readText(path);
  if (text === undefined && named) {
    throw new UsageError(
      `configuration file ${quote(path)} does not exist`,
      "see 'veneer --help' for --config",
    );
  }
  return text === undefined ? {} : parseConfigFile(text, path);
}

/** Like {@link readConfigFile}, but for its text. */
export function parseConfigFile(text: string, path: string): ConfigFile {
  try {
    return parseDocument<ConfigFile>(text, path, validateConfig);
  } catch (error) {
    const unknown = validateConfig.errors?.find(({ keyword }) => keyword === "additionalProperties");
    if (!unknown) throw error;
    const key = String(unknown.params.additionalProperty);
    const outer = unknown.instancePath.slice(1);
    const inner = outer === "annotations" || outer === "environment";
    const known = Object.keys(inner ? DEFAULTS[outer] : { ...DEFAULTS, log: "" });
    const near = nearest(key, known);
    throw new VeneerError("UNKNOWN_KEY", `${path}: unknown key ${quote(inner ? `${outer}.${key}` : key)}`, {
      hint: near === undefined ? `known are ${known.join(", ")}` : `did you mean ${near}?`,
    });
  }
}

/**
 * The settings: options take precedence over the configuration file, and that over `defaults`. Reads no environment.
 */
export function readSettings(options: GlobalOptions, defaults: DefaultPaths = defaultPaths()): Settings {
  return settingsOf(
    readConfigFile(options.config ?? defaults.config, options.config !== undefined),
    options,
    defaults,
  );
}

/** Like {@link readSettings}, for the contents of the file. Pure. */
export function settingsOf(file: ConfigFile, options: GlobalOptions, defaults: DefaultPaths): Settings {
  return {
    store: { root: options.root ?? file.root ?? defaults.root, run: options.run ?? file.run ?? defaults.run },
    config: {
      opaque: (file.opaque ?? DEFAULTS.opaque).map((item) => checkInnerPath("opaque path", item)),
      mask: (file.mask ?? DEFAULTS.mask).map((item) => checkInnerPath("masked path", item)),
      runtimes: file.runtimes ?? DEFAULTS.runtimes,
      annotations: { ...DEFAULTS.annotations, ...file.annotations },
      environment: { ...DEFAULTS.environment, ...file.environment },
      ...(file.log !== undefined && { log: file.log }),
      logFormat: file.logFormat ?? DEFAULTS.logFormat,
      shiftedCopy: file.shiftedCopy ?? DEFAULTS.shiftedCopy,
      shareFiles: file.shareFiles ?? DEFAULTS.shareFiles,
    },
    debug: options.debug ?? false,
  };
}
