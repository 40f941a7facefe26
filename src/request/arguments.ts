/** Parses the options of hooks, without a parser library because every start does this. */
import { UsageError } from "../errors.ts";
import { checkInnerPath, checkName, parseBaseRef, parseSize } from "../text/names.ts";
import { quote } from "../text/quote.ts";
import type { GlobalOptions } from "./config.ts";
import type { RequestOptions } from "./root-request.ts";

/** A cursor over arguments that understands `--name value` and `--name=value`. */
export class Arguments {
  #index = 0;
  #attached: string | undefined;

  constructor(readonly all: readonly string[]) {}

  /**
   * The next option's name or the next word; undefined at the end. Throws UsageError for a `=value` that was not read.
   */
  next(): string | undefined {
    if (this.#attached !== undefined)
      throw new UsageError(`option ${quote(this.all[this.#index - 1] ?? "")} takes no value`);
    const word = this.all[this.#index++];
    const equals = word?.startsWith("--") ? word.indexOf("=") : -1;
    if (word === undefined || equals < 0) return word;
    this.#attached = word.slice(equals + 1);
    return word.slice(0, equals);
  }

  /** The value of the option that `next` returned. */
  value(option: string): string {
    const attached = this.#attached;
    this.#attached = undefined;
    const value = attached ?? this.all[this.#index++];
    if (value === undefined) throw new UsageError(`option ${option} needs a value`);
    return value;
  }

  /** The remaining words. */
  rest(): string[] {
    return this.all.slice(this.#index);
  }
}

/** Reads a global option, which precedes the command; false when `option` is not one. */
export function readGlobalOption(option: string, args: Arguments, options: GlobalOptions): boolean {
  switch (option) {
    case "--root":
    case "--run":
    case "--config": {
      const value = args.value(option);
      if (!value.startsWith("/") || value.includes("\0"))
        throw new UsageError(`${option} ${quote(value)} is not an absolute path`);
      options[option.slice(2) as "root" | "run" | "config"] = withoutSlashes(value);
      return true;
    }
    case "--debug":
      options.debug = true;
      return true;
    default:
      return false;
  }
}

/** An absolute path, without trailing slashes. */
function withoutSlashes(path: string): string {
  let end = path.length;
  while (end > 1 && path[end - 1] === "/") end--;
  return path.slice(0, end);
}

/** Reads an option that describes the wanted root; false when `option` is not one. */
export function readRequestOption(option: string, args: Arguments, requested: RequestOptions): boolean {
  switch (option) {
    case "--base":
      requested.base = parseBaseRef(args.value(option));
      return true;
    case "--instance":
      requested.instance = checkName("instance", args.value(option));
      return true;
    case "--persistent":
      requested.persistent = true;
      return true;
    case "--opaque": {
      const path = args.value(option);
      requested.opaque =
        path === "none" ? [] : [...(requested.opaque ?? []), checkInnerPath("opaque path", path)];
      return true;
    }
    case "--mask":
      requested.mask = [...(requested.mask ?? []), checkInnerPath("masked path", args.value(option))];
      return true;
    case "--refuse-copies":
      requested.refuseCopies = true;
      return true;
    case "--container":
      requested.container = args.value(option);
      return true;
    case "--shifted-copy":
      requested.shiftedCopy = true;
      return true;
    case "--tmpfs":
      requested.tmpfs = parseSize(args.value(option));
      return true;
    default:
      return false;
  }
}
