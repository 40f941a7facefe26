/** Fills a layer's tree from a directory or a tar. */
import { spawn } from "node:child_process";
import { closeSync, openSync, readSync, statSync } from "node:fs";
import { Readable } from "node:stream";
import { VeneerError } from "../errors.ts";
import { detectCompression, MAGIC_LENGTH } from "../images/compression.ts";
import { refuseForeignOwners, withoutDevices } from "../layers/owners.ts";
import { formatAmount, type Progress } from "../process/progress.ts";
import { findProgram, PROGRAM_ENVIRONMENT, runProgram } from "../process/run-program.ts";
import type { Store } from "../store/paths.ts";
import { readText } from "../sys/fd.ts";
import { parseMountinfo, readMountinfo } from "../sys/mountinfo.ts";
import { list } from "../sys/stat.ts";
import { encodeName } from "../text/file-names.ts";
import { quote } from "../text/quote.ts";

/** Owners by number, as they are; file capabilities, ACLs and every other extended attribute too. */
const TAR = ["--numeric-owner", "--xattrs", "--xattrs-include=*", "--acls"];
const EXTRACT = [
  "-x",
  "-p",
  "--delay-directory-restore",
  "--warning=no-timestamp",
  "--warning=no-unknown-keyword",
  ...TAR,
];

export interface TreeOptions {
  readonly progress: Progress;
  /** told what is left out */
  readonly note: (line: string) => void;
  /** every file becomes root's */
  readonly squash?: boolean;
}

const owners = ({ squash }: TreeOptions) => (squash ? "--no-same-owner" : "--same-owner");

/**
 * Copies a directory, all that is on its file system, to `tree`, which exists and is empty; by reflink where
 * the file system can. A store inside the directory is left out.
 */
export async function copyDirectory(
  store: Store,
  source: string,
  tree: string,
  options: TreeOptions,
): Promise<void> {
  const { progress, note, squash } = options;
  if (!squash) refuseForeignOwners(source);
  const prefix = source === "/" ? "/" : `${source}/`;
  const mounts = parseMountinfo(readMountinfo("self") ?? "")
    .map((mount) => mount.target)
    .filter((target) => target.startsWith(prefix) && target !== source);
  for (const path of new Set(source === "/" ? [] : mounts)) {
    note(`veneer: ${quote(path)} is a mount of its own: what is below it is left out`);
  }
  const inside = [store.root, store.run].filter((path) => path.startsWith(prefix));
  if (inside.length > 0) return copyAround(prefix, inside, tree, options);
  const kept = squash ? ["--no-preserve=ownership"] : [];
  await runProgram("cp", ["-a", ...kept, "-x", "--reflink=auto", "-T", "--", source, tree], {
    ...withoutDevices(note),
    started: (pid) => progress.step("copying", () => written(pid)),
  });
}

/** tar to tar: cp cannot leave a directory out. */
function copyAround(prefix: string, without: readonly string[], tree: string, options: TreeOptions) {
  const excluded = without.map((path) => `--exclude=./${escapePattern(path.slice(prefix.length))}`);
  return tarToTar(prefix, ["--anchored", ...excluded, "."], tree, options);
}

/**
 * Copies the entries at `paths` (relative to `source`, a directory before what is in it) and nothing else to `tree`,
 * which exists and is empty. What vanishes meanwhile is left out.
 */
export async function copyEntries(
  source: string,
  paths: readonly string[],
  tree: string,
  options: TreeOptions,
): Promise<void> {
  const list = Readable.from(
    (function* () {
      for (const path of paths) yield Buffer.concat([encodeName(path === "." ? "." : `./${path}`), NUL]);
    })(),
    { objectMode: false },
  );
  const words = ["--no-recursion", "--ignore-failed-read", "--null", "--verbatim-files-from", "-T", "-"];
  await tarToTar(source, words, tree, options, list);
}

const NUL = Buffer.from([0]);

async function tarToTar(
  source: string,
  words: readonly string[],
  tree: string,
  options: TreeOptions,
  list?: Readable,
) {
  const pack = ["-c", "-S", "--one-file-system", "--warning=no-file-ignored", ...TAR];
  const packer = spawn(findProgram("tar"), [...pack, "-C", source, "-f", "-", ...words], {
    env: PROGRAM_ENVIRONMENT,
    stdio: [list ? "pipe" : "ignore", "pipe", "pipe"],
  });
  if (list && packer.stdin) {
    // tar says itself why it stops reading
    packer.stdin.on("error", () => {});
    list.pipe(packer.stdin);
  }
  let complaint = "";
  packer.stderr?.on("data", (chunk) => {
    if (complaint.length < 500) complaint += chunk;
  });
  const exited = new Promise<number>((resolve) => packer.on("exit", (status) => resolve(status ?? 128)));
  try {
    await runProgram("tar", [...EXTRACT, owners(options), "-C", tree, "-f", "-"], {
      ...withoutDevices(options.note),
      stdin: packer.stdout as Readable,
      started: (pid) => options.progress.step("copying", () => written(pid)),
    });
  } finally {
    packer.kill();
  }
  // status 1: a file changed as it was read, as files of a living system do
  if ((await exited) > 1)
    throw new VeneerError("PROGRAM_FAILED", `tar of ${source} failed: ${complaint.trim()}`);
}

function escapePattern(path: string): string {
  return path.replace(/[*?[\]\\]/g, "\\$&");
}

/** Unpacks a tar file, compressed or not, to `tree`, which exists and is empty. */
export async function unpackFile(path: string, tree: string, options: TreeOptions): Promise<void> {
  const fd = openSync(path, "r");
  try {
    const head = Buffer.alloc(MAGIC_LENGTH);
    const length = readSync(fd, head, 0, MAGIC_LENGTH, 0);
    const { size } = statSync(path);
    // the child shares this descriptor's position
    const position = () =>
      Number(/^pos:\s*([0-9]+)/.exec(readText(`/proc/self/fdinfo/${fd}`) ?? "")?.[1] ?? 0);
    await extract(head.subarray(0, length), fd, tree, options, () =>
      options.progress.step("unpacking", () => `${Math.floor((100 * position()) / Math.max(size, 1))} %`),
    );
  } finally {
    closeSync(fd);
  }
}

/** Unpacks a tar stream, compressed or not. */
export async function unpackStream(stream: Readable, tree: string, options: TreeOptions): Promise<void> {
  const iterator = stream[Symbol.asyncIterator]();
  const first: Buffer[] = [];
  let length = 0;
  while (length < MAGIC_LENGTH) {
    const { value, done } = await iterator.next();
    if (done) break;
    first.push(value);
    length += value.length;
  }
  const head = Buffer.concat(first);
  let bytes = head.length;
  const whole = Readable.from(
    (async function* () {
      yield head;
      for (let next = await iterator.next(); !next.done; next = await iterator.next()) {
        bytes += next.value.length;
        yield next.value;
      }
    })(),
    { objectMode: false },
  );
  try {
    await extract(head, whole, tree, options, () =>
      options.progress.step("unpacking", () => formatAmount(bytes)),
    );
  } finally {
    // when tar has ended, whoever still writes shall not keep this process waiting
    stream.destroy();
  }
}

async function extract(
  head: Uint8Array,
  stdin: number | Readable,
  tree: string,
  options: TreeOptions,
  started: () => void,
) {
  if (head.length === 0) {
    throw new VeneerError("EMPTY_ARCHIVE", "the archive is empty (0 bytes)", {
      hint: "did the program that makes it fail?",
    });
  }
  const { program } = detectCompression(head);
  const decompress = program === undefined ? [] : ["-I", findProgram(program)];
  const words = [...EXTRACT, owners(options), ...decompress, "-C", tree, "-f", "-"];
  await runProgram("tar", words, { ...withoutDevices(options.note), stdin, started });
  if (list(tree).length === 0) throw new VeneerError("EMPTY_ARCHIVE", "the archive holds no files");
}

/** What a process has written so far (proc_pid_io(5)). */
function written(pid: number): string {
  const bytes = /^wchar: ([0-9]+)$/m.exec(readText(`/proc/${pid}/io`) ?? "")?.[1];
  return formatAmount(Number(bytes ?? 0));
}
