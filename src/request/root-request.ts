/** What a container asks for, from all sources. */
import { UsageError, VeneerError } from "../errors.ts";
import type { Owner } from "../store/owners.ts";
import { matchesGlob } from "../text/glob.ts";
import { type BaseRef, checkInnerPath, checkName, parseBaseRef, parseSize } from "../text/names.ts";
import { quote } from "../text/quote.ts";
import type { Config, Nameable } from "./config.ts";

/** What one source (hook arguments, annotations) asks for; absent fields are not specified by it. */
export interface RequestOptions {
  base?: BaseRef;
  instance?: string;
  persistent?: boolean;
  opaque?: readonly string[];
  mask?: readonly string[];
  /** bytes */
  tmpfs?: number;
  /** use the image's own tree as a read-only layer above the base, instead of hiding it */
  layered?: boolean;
  /**
   * copy the base where it cannot be idmapped to the container's user namespace; only the administrator can ask for it
   */
  shiftedCopy?: boolean;
  /** LXC: the container for which the hook was configured; a copy of its configuration is refused */
  container?: string;
  /** LXC, persistent: refuse a container whose root directory was copied from another container */
  refuseCopies?: boolean;
}

export interface RootRequest {
  /** absent when only an instance is named, since the instance has its base */
  readonly base?: BaseRef;
  readonly instance?: string;
  readonly persistent: boolean;
  readonly opaque: readonly string[];
  readonly mask: readonly string[];
  readonly tmpfs?: number;
  readonly layered?: boolean;
  /** absent: as configured */
  readonly shiftedCopy?: boolean;
  /** the owner of the instance if this start creates it */
  readonly owner?: Owner;
  /** how the container chose the name of the instance; absent: the administrator chose it */
  readonly claim?: Claim;
}

/** `named` in an annotation or variable, or `implied`: named after the container because its upper is persistent. */
export type Claim = "named" | "implied";

/** Annotations in config.json or in a container's state. */
export type Annotations = Readonly<Record<string, string>> | null | undefined;

const PREFIX = "run.veneer.";

/** The annotations by which containerd's CRI plugin and CRI-O mark the container that holds a pod's namespaces. */
const SANDBOX = ["io.kubernetes.cri.container-type", "io.kubernetes.cri-o.ContainerType"];

/** Whether this is a pod's sandbox. It has the pod's annotations, but they are meant for the pod's containers. */
export function isSandbox(annotations: Annotations): boolean {
  return SANDBOX.some((key) => annotations?.[key] === "sandbox");
}

/** Reads `run.veneer.*` annotations; a pod's sandbox asks for nothing. Throws UsageError for a key or value that is not understood. */
export function optionsOfAnnotations(annotations: Annotations): RequestOptions {
  const requested: RequestOptions = {};
  if (isSandbox(annotations)) return requested;
  for (const [key, value] of Object.entries(annotations ?? {})) {
    if (!key.startsWith(PREFIX)) continue;
    readNamed(`annotation ${quote(key)}`, requested, key.slice(PREFIX.length), value);
  }
  return requested;
}

/** Reads variables like VENEER_BASE, one per annotation. Throws like {@link optionsOfAnnotations}. */
export function optionsOfEnvironment(environment: Readonly<Record<string, string>>): RequestOptions {
  const requested: RequestOptions = {};
  for (const [name, value] of Object.entries(environment)) {
    const key = /^VENEER_([A-Z]+)$/.exec(name)?.[1]?.toLowerCase();
    if (key !== undefined) readNamed(`environment variable ${name}`, requested, key, value);
  }
  return requested;
}

/**
 * What a container's environment (`VENEER_BASE=…` in process.env of config.json) asks for. Undefined unless the
 * configuration allows such names and it names a base or an instance. Throws when it may not use that name.
 */
export function optionsOfProcess(env: readonly string[], allowed: Nameable): RequestOptions | undefined {
  if (allowed.bases.length === 0 && allowed.instances.length === 0) return undefined;
  const environment: Record<string, string> = {};
  for (const entry of env) {
    const [, name, value] = /^(VENEER_[A-Z]+)=(.*)$/s.exec(entry) ?? [];
    if (name === undefined || value === undefined) continue;
    // getenv(3) returns the first of two, a shell keeps the last
    if (name in environment && environment[name] !== value) {
      throw new UsageError(`environment variable ${name} occurs twice, with two values`, "set it once");
    }
    environment[name] = value;
  }
  // other programs may use variables with this prefix too
  if (!environment.VENEER_BASE && !environment.VENEER_INSTANCE) return undefined;
  const requested = optionsOfEnvironment(environment);
  checkAllowed("environment", "base", requested.base?.name, allowed.bases);
  checkAllowed("environment", "instance", requested.instance, allowed.instances);
  return requested;
}

function readNamed(what: string, requested: RequestOptions, key: string, value: string): void {
  try {
    readAnnotation(requested, key, value);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    throw new UsageError(`${what}: ${error.message}`, error.hint);
  }
}

function readAnnotation(requested: RequestOptions, name: string, value: string): void {
  switch (name) {
    case "base":
      requested.base = parseBaseRef(value);
      return;
    case "instance":
      requested.instance = checkName("instance", value);
      return;
    case "upper":
      if (value !== "ephemeral" && value !== "persistent") {
        throw new UsageError(`value ${quote(value)} is not valid`, "write ephemeral or persistent");
      }
      requested.persistent = value === "persistent";
      return;
    case "opaque":
      requested.opaque = value === "none" ? [] : pathList("opaque path", value);
      return;
    case "mask":
      requested.mask = pathList("masked path", value);
      return;
    case "tmpfs":
      requested.tmpfs = parseSize(value);
      return;
    case "rootfs":
      if (value !== "replace" && value !== "layer") {
        throw new UsageError(`value ${quote(value)} is not valid`, "write replace or layer");
      }
      requested.layered = value === "layer";
      return;
    case "shifted-copy":
      if (value !== "true" && value !== "false") {
        throw new UsageError(`value ${quote(value)} is not valid`, "write true or false");
      }
      requested.shiftedCopy = value === "true";
      return;
    default:
      throw new UsageError(
        "unknown key",
        "known are base, instance, upper, opaque, mask, tmpfs, rootfs and shifted-copy",
      );
  }
}

/** Most paths in an annotation or variable: each pattern is matched against every name in its directory. */
const PATHS_LIMIT = 128;

function pathList(what: string, value: string): string[] {
  const paths = value.split(",", PATHS_LIMIT + 2).filter((path) => path !== "");
  if (paths.length > PATHS_LIMIT) {
    throw new UsageError(`there are more than ${PATHS_LIMIT} ${what}s`, "name the directories above them");
  }
  return paths.map((path) => checkInnerPath(what, path));
}

/** The container's name as a name for its instance. Throws when it is not a valid one. */
function instanceNameOf(container: string): string {
  try {
    return checkName("instance", container);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    throw new UsageError(
      `the container's name as ${error.message}`,
      "give the instance a name of its own: --instance ID, or run.veneer.instance",
    );
  }
}

/** Throws when a container uses a name that the administrator does not allow. */
function checkAllowed(
  source: "annotations" | "environment",
  key: "base" | "instance",
  name: string | undefined,
  patterns: readonly string[],
): void {
  if (name === undefined || patterns.some((pattern) => matchesGlob(pattern, name))) return;
  const what =
    source === "annotations"
      ? `annotation ${PREFIX}${key}`
      : `environment variable VENEER_${key.toUpperCase()}`;
  throw new VeneerError("NOT_ALLOWED", `${what} may not name ${quote(name)}`, {
    hint: `the configuration lists what it may name under ${source}.${key}s ('veneer config' prints it)`,
  });
}

/**
 * Merges all sources into a request; undefined when none names a base or an instance. The administrator's options take
 * precedence over the container's annotations, and those over its `environment`. Masks add up, so that a container
 * cannot remove any. A persistent upper without an instance name gets the container's `name`.
 */
export function mergeOptions(
  administrator: RequestOptions,
  container: RequestOptions,
  config: Config,
  name?: string,
  environment: RequestOptions = {},
): RootRequest | undefined {
  const requested: RequestOptions = { ...environment, ...container, ...administrator };
  if (administrator.base === undefined)
    checkAllowed("annotations", "base", container.base?.name, config.annotations.bases);
  if (administrator.instance === undefined) {
    checkAllowed("annotations", "instance", container.instance, config.annotations.instances);
  }
  if (requested.base === undefined && requested.instance === undefined) return undefined;
  let claim: Claim | undefined =
    requested.instance !== undefined && administrator.instance === undefined ? "named" : undefined;
  if (requested.persistent && requested.instance === undefined && name !== undefined) {
    requested.instance = instanceNameOf(name);
    // check the resulting name, wherever it comes from: users choose the id of their container
    if (administrator.persistent === undefined) {
      claim = "implied";
      const source = container.persistent === undefined ? "environment" : "annotations";
      checkAllowed(source, "instance", requested.instance, config[source].instances);
    }
  }
  const mask = [
    ...config.mask,
    ...(administrator.mask ?? []),
    ...(container.mask ?? []),
    ...(environment.mask ?? []),
  ];
  return {
    ...(requested.base && { base: requested.base }),
    ...(requested.instance !== undefined && { instance: requested.instance }),
    persistent: requested.persistent ?? false,
    opaque: requested.opaque ?? config.opaque,
    mask: [...new Set(mask)],
    ...(requested.tmpfs !== undefined && { tmpfs: requested.tmpfs }),
    ...(requested.layered && { layered: true }),
    ...(administrator.shiftedCopy && { shiftedCopy: true }),
    ...(claim && { claim }),
  };
}
