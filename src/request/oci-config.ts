/** The parts of a bundle's config.json that we use. Everything else passes through unchanged. */
import { VeneerError } from "../errors.ts";
import validateBundleConfig from "../generated/oci-config.js";
import { checkDocument } from "../store/check-document.ts";
import { readText } from "../sys/fd.ts";
import type { IdRange } from "../sys/user-namespace.ts";
import { CONFIG_SHAPE, unusable } from "./bundle-shape.ts";
import { parseUnambiguous } from "./json-check.ts";

export interface HookEntry {
  readonly path?: string;
  readonly args?: readonly string[];
  readonly env?: readonly string[];
}

export interface BundleConfig {
  readonly root: { readonly path: string; readonly readonly?: boolean };
  readonly process?: { readonly env?: readonly string[] | null; readonly cwd?: string } | null;
  readonly annotations?: Readonly<Record<string, string>> | null;
  readonly mounts?:
    | readonly {
        readonly destination?: string;
        readonly source?: string;
        readonly options?: readonly string[] | null;
      }[]
    | null;
  readonly hooks?: {
    readonly prestart?: readonly HookEntry[] | null;
    readonly createRuntime?: readonly HookEntry[] | null;
    readonly poststop?: readonly HookEntry[] | null;
  } | null;
  readonly linux?: {
    readonly cgroupsPath?: string;
    readonly rootfsPropagation?: string;
    readonly namespaces?: readonly { readonly type?: string; readonly path?: string }[] | null;
    readonly uidMappings?: readonly IdRange[] | null;
    readonly gidMappings?: readonly IdRange[] | null;
    readonly maskedPaths?: readonly string[] | null;
    readonly readonlyPaths?: readonly string[] | null;
  } | null;
}

/** What a runtime applies to the root after everything is mounted (config-linux.md, config.md#root). */
export interface RootOptions {
  readonly readonly: boolean;
  readonly cwd?: string;
  readonly masked: readonly string[];
  readonly readonlyPaths: readonly string[];
}

/** The text of a config.json. Throws VeneerError where the file does not exist. */
export function readBundleText(path: string): string {
  const text = readText(path);
  if (text !== undefined) return text;
  throw new VeneerError("NO_CONFIG", `${path} does not exist`, {
    hint: "give the bundle's directory with --bundle",
  });
}

/**
 * Parses and validates the part that we use. Throws VeneerError with `path` and the invalid place in it, also when
 * other parsers would read the text differently.
 */
export function parseBundleConfig(text: string, path: string): BundleConfig {
  return checkBundleConfig(parseBundleText(text, path), path);
}

/** Parses a config.json without validating it. Throws VeneerError for a text that parsers would read differently. */
export function parseBundleText(text: string, path: string, hint?: string): unknown {
  try {
    return parseUnambiguous(text, CONFIG_SHAPE);
  } catch (cause) {
    throw unusable(path, text, cause, hint);
  }
}

/** Validates the part of a config.json that we use. Throws VeneerError with `path` and the invalid place in it. */
export function checkBundleConfig(data: unknown, path: string): BundleConfig {
  return checkDocument<BundleConfig>(data, path, validateBundleConfig);
}

/** The absolute path of the root: root.path may be relative to the bundle (config.md#root). */
export function rootPath(config: BundleConfig, bundle: string): string {
  return config.root.path.startsWith("/") ? config.root.path : `${bundle}/${config.root.path}`;
}

export function rootOptions(config: BundleConfig): RootOptions {
  const cwd = config.process?.cwd;
  return {
    readonly: config.root.readonly ?? false,
    ...(cwd !== undefined && { cwd }),
    masked: config.linux?.maskedPaths ?? [],
    readonlyPaths: config.linux?.readonlyPaths ?? [],
  };
}

/** Whether the container gets a user namespace (config-linux.md, "Namespaces"). */
export function hasUserNamespace(config: BundleConfig): boolean {
  const { linux } = config;
  return Boolean(linux?.uidMappings?.length || linux?.namespaces?.some(({ type }) => type === "user"));
}
