/** The bundle and config.json that the real runtime is called for, and whether they name a base. */
import { UsageError, VeneerError } from "../errors.ts";
import { readBundleConfig } from "../request/bundle-text.ts";
import type { Settings } from "../request/config.ts";
import type { BundleConfig } from "../request/oci-config.ts";
import type { RuntimeCall } from "../request/runtime-args.ts";
import { isErrno } from "../sys/errno.ts";
import { type Fd, openat, openDirectory, readAll, readlink } from "../sys/fd.ts";
import { AT_FDCWD, O_NONBLOCK, O_RDONLY, S_IFREG } from "../sys/flags.ts";
import { fstat, isType, type Stat } from "../sys/stat.ts";
import { decodeName } from "../text/file-names.ts";
import { quote } from "../text/quote.ts";
import type { RealRuntime } from "./real-runtime.ts";

/** Size limit of config.json in bytes. Docker's has about 20 thousand. */
const CONFIG_LIMIT = 8 * 1024 * 1024;

/** A bundle and its config.json, as the real runtime will find them. */
export interface Bundle extends Disposable {
  readonly directory: Fd;
  /** absolute path for records: as given if that is absolute */
  readonly path: string;
  /** path of config.json */
  readonly file: string;
  readonly status: Stat;
  readonly text: string;
}

export interface Caller {
  readonly settings: Settings;
  readonly runtime: RealRuntime;
  /** `veneer run` wrote the annotations, so they count as the administrator's options */
  readonly byHand: boolean;
}

/** A container on a base for which the real runtime is called. */
export interface Wanted {
  readonly bundle: Bundle;
  readonly config: BundleConfig;
}

/**
 * Reads what a call is for. Undefined for a container that names no base, or where there is no bundle. Throws
 * VeneerError.
 */
export function readWanted({ settings, byHand }: Caller, call: RuntimeCall): Wanted | undefined {
  const bundle = openBundle(call);
  if (!bundle) return undefined;
  const { bases, instances } = settings.config.environment;
  const environment = !byHand && bases.length + instances.length > 0;
  const config = readBundleConfig(bundle.text, bundle.file, environment);
  return config && { bundle, config };
}

/** Undefined where the directory or the file does not exist. */
function openBundle(call: RuntimeCall): Bundle | undefined {
  let directory: Fd | undefined;
  try {
    directory = openDirectory(call.bundle ?? ".");
    const path = call.bundle?.startsWith("/") ? call.bundle.replace(/(?<=.)\/+$/, "") : pathOf(directory);
    // crun resolves any name but the default relative to its working directory
    const { config = "config.json" } = call;
    const inBundle = config === "config.json";
    using fd = openat(inBundle ? directory.number : AT_FDCWD, config, O_RDONLY | O_NONBLOCK);
    const file = inBundle ? `${path}/${config}` : pathOf(fd);
    const status = fstat(fd.number);
    if (!isType(status, S_IFREG)) throw notAFile(file);
    const text = decodeName(readAll(fd.number, CONFIG_LIMIT, file));
    return {
      directory,
      path,
      file,
      status,
      text,
      [Symbol.dispose]: directory[Symbol.dispose].bind(directory),
    };
  } catch (error) {
    directory?.[Symbol.dispose]();
    if (isErrno(error, "ENOENT", "ENOTDIR", "ELOOP", "ENAMETOOLONG")) return undefined;
    throw error;
  }
}

function pathOf(fd: Fd): string {
  return readlink(fd.path) as string;
}

function notAFile(file: string): VeneerError {
  return new VeneerError("NOT_A_FILE", `${file} is not a regular file`, {
    hint: "it is read twice: by veneer, which looks for a base, and by the real runtime",
  });
}

export function unclearArguments(option: string): UsageError {
  return new UsageError(
    `option ${quote(option)} is not known here, so it is not clear which bundle is started`,
    "write options with values as --option=VALUE, or put them behind --bundle",
  );
}
