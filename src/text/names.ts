/** Names that become parts of paths: nothing reaches the store before it has passed one of these. */
import { UsageError } from "../errors.ts";
import { quote } from "./quote.ts";

const NAME = /^[a-z0-9][a-z0-9._-]{0,127}$/;
/** What runc and crun accept as a container id, without `.` and `..`. */
const CONTAINER_ID = /^(?!\.{1,2}$)[A-Za-z0-9_+.-]{1,1024}$/;

export interface BaseRef {
  readonly name: string;
  /** absent: the current version */
  readonly version?: number;
}

/** A base or instance name as given, when it is well formed. Throws UsageError. */
export function checkName(what: "base" | "instance", name: string): string {
  if (NAME.test(name)) return name;
  throw new UsageError(
    `${what} name ${quote(name)} is not valid`,
    "use up to 128 of a-z, 0-9, '.', '_' and '-', beginning with a letter or digit",
  );
}

/** Whether it can be the name of an instance. */
export function isInstanceName(name: string): boolean {
  return NAME.test(name);
}

/** A container id as an engine gives it, when it is well formed. Throws UsageError. */
export function checkContainerId(id: string): string {
  if (CONTAINER_ID.test(id)) return id;
  throw new UsageError(
    `container id ${quote(id)} is not valid`,
    "use letters, digits, '_', '+', '-' and '.'",
  );
}

/** Whether a container's name is one word to a shell, is no option and means itself. */
export function isPlainName(name: string): boolean {
  return CONTAINER_ID.test(name) && !name.startsWith("-");
}

/** A foreign name for a message: as it is when that is harmless, else quoted. */
export function displayName(name: string): string {
  return /^[A-Za-z0-9_+./@=,:-]{1,200}$/.test(name) ? name : quote(name);
}

/** Reads `name` or `name@version`. Throws UsageError. */
export function parseBaseRef(text: string): BaseRef {
  const at = text.indexOf("@");
  if (at < 0) return { name: checkName("base", text) };
  const version = text.slice(at + 1);
  if (!/^[1-9][0-9]{0,8}$/.test(version)) {
    throw new UsageError(
      `base ${quote(text)} names no version`,
      "write NAME or NAME@NUMBER, for example debian@3",
    );
  }
  return { name: checkName("base", text.slice(0, at)), version: Number(version) };
}

export function formatBaseRef(ref: BaseRef): string {
  return ref.version === undefined ? ref.name : `${ref.name}@${ref.version}`;
}

/**
 * An absolute path inside a container, normalised: no `.`, `..`, `//` or trailing slash, never `/` itself.
 * Throws UsageError naming `what`.
 */
export function checkInnerPath(what: string, path: string): string {
  const parts = path.split("/").filter((part) => part !== "" && part !== ".");
  if (
    !path.startsWith("/") ||
    parts.includes("..") ||
    parts.length === 0 ||
    path.includes("\0") ||
    path.length > 4095
  ) {
    throw new UsageError(
      `${what} ${quote(path)} is not a path inside the container`,
      "give an absolute path below /, without ..",
    );
  }
  return `/${parts.join("/")}`;
}

const SIZE_UNITS: Record<string, number> = { "": 1, k: 2 ** 10, m: 2 ** 20, g: 2 ** 30, t: 2 ** 40 };

/** Bytes of a size such as `64m` or `2G` (as tmpfs(5) size=). Throws UsageError. */
export function parseSize(text: string): number {
  const match = /^([1-9][0-9]{0,14})([kmgt]?)(i?b)?$/i.exec(text);
  const bytes = match
    ? Number(match[1]) * (SIZE_UNITS[(match[2] as string).toLowerCase()] as number)
    : Number.NaN;
  if (!Number.isSafeInteger(bytes))
    throw new UsageError(`size ${quote(text)} is not valid`, "write a number of bytes, or 64m, 2g");
  return bytes;
}
