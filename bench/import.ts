/** What an import costs, durable on return, against the plain copy of the same, which is not. */
import { execFileSync, spawnSync } from "node:child_process";
import { mkdirSync, rmSync, symlinkSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { has, type Setting, VENEER } from "./context.ts";
import { type Contender, interleave } from "./measure.ts";
import { compare, type Report, type Row } from "./table.ts";

const FILES = 4000;
const NAME = "import-bench";

export async function benchImport(setting: Setting, runs: number): Promise<Report> {
  const dir = join(setting.dir, "import");
  const tree = plantTree(join(dir, "tree"));
  const archive = join(dir, "tree.tar");
  execFileSync("tar", ["-C", tree, "-cf", archive, "."]);
  try {
    const copy = join(dir, "copy");
    const results = await interleave(
      [
        plain("cp -a", ["cp", "-a", tree, copy], copy),
        plain("cp -a and sync -f", ["sh", "-c", 'cp -a "$1" "$2" && sync -f "$2"', "sh", tree, copy], copy),
        imports("veneer import of a directory", setting.options, tree),
        plain("tar -x", ["tar", "-C", copy, "-xpf", archive], copy, true),
        imports("veneer import of a tar", setting.options, archive),
      ],
      runs,
      1,
    );
    const rows: Row[] = [
      compare("import of a directory, against cp -a", results, "veneer import of a directory", "cp -a", 1.3),
      compare(
        "import of a directory, against cp -a and sync -f",
        results,
        "veneer import of a directory",
        "cp -a and sync -f",
      ),
      compare("import of a tar, against tar -x", results, "veneer import of a tar", "tar -x", 1.3),
    ];
    const reflinked = await benchReflink(dir, runs);
    return {
      title: "Import",
      rows: [...rows, ...reflinked.rows],
      results: [...results, ...reflinked.results],
      notes: [
        `${FILES} files of 1 kB to 1 MB, in the page cache; an import is on disk when it ends, cp and tar are not`,
      ],
    };
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

async function benchReflink(dir: string, runs: number): Promise<Pick<Report, "rows" | "results">> {
  const what = "import of a directory on xfs, against cp -a --reflink=never";
  if (!has("mkfs.xfs")) {
    return {
      rows: [{ what, skipped: "mkfs.xfs is not installed; hint: apt-get install xfsprogs" }],
      results: [],
    };
  }
  const image = join(dir, "xfs.img");
  const point = join(dir, "xfs");
  writeFileSync(image, "");
  truncateSync(image, 3 * 2 ** 30);
  mkdirSync(point);
  execFileSync("mkfs.xfs", ["-q", "-m", "reflink=1", image]);
  execFileSync("mount", ["-o", "loop", image, point]);
  try {
    const small = plantTree(join(point, "small"));
    const large = plantLargeFiles(join(point, "large"));
    const copy = join(point, "copy");
    const options = ["--root", join(point, "store"), "--run", join(dir, "run")];
    const never = (tree: string) => ["cp", "-a", "--reflink=never", tree, copy];
    const results = await interleave(
      [
        plain("cp -a --reflink=never", never(large), copy),
        imports("veneer import by reflink", options, large),
        plain("cp -a --reflink=never, small files", never(small), copy),
        imports("veneer import by reflink, small files", options, small),
      ],
      runs,
      1,
    );
    const pair = (suffix: string) =>
      [results, `veneer import by reflink${suffix}`, `cp -a --reflink=never${suffix}`] as const;
    return {
      rows: [
        compare(what, ...pair(""), 0.5),
        // to make a file costs as much as to copy 100 kB, with and without reflink
        compare(`${what}, files of 100 kB`, ...pair(", small files")),
      ],
      results,
    };
  } finally {
    execFileSync("umount", [point]);
  }
}

/** 100 files of 4 MB. */
function plantLargeFiles(dir: string): string {
  mkdirSync(dir);
  for (let index = 0; index < 100; index++) {
    writeFileSync(join(dir, `f${index}`), new Uint8Array(4 * 2 ** 20).fill(index));
  }
  return dir;
}

/** Every contender begins with nothing left to write from the one before. */
const settle = () => void execFileSync("sync");

function plain(name: string, command: readonly string[], copy: string, make = false): Contender {
  const remove = () => rmSync(copy, { recursive: true, force: true });
  const before = () => {
    remove();
    if (make) mkdirSync(copy);
    settle();
  };
  return { name, command, before, after: remove };
}

function imports(name: string, options: readonly string[], source: string): Contender {
  return {
    name,
    command: [VENEER, ...options, "base", "import", NAME, source],
    before: settle,
    // where the import failed there is none: its own error is the one to show
    after: () => void spawnSync(VENEER, [...options, "base", "rm", NAME], { stdio: "ignore" }),
  };
}

/** Like an operating system's: many small files, few large ones, a symbolic link for every ten. The same each time. */
function plantTree(dir: string): string {
  let state = 1;
  const random = () => {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    return state / 2 ** 32;
  };
  const content = new Uint8Array(2 ** 20).map((_, index) => (index * 31) ^ (index >> 7));
  for (let index = 0; index < FILES; index++) {
    const directory = join(dir, `d${index % 20}`, `d${index % 400}`);
    mkdirSync(directory, { recursive: true });
    const size = Math.floor(1024 * 1024 ** (random() ** 1.5));
    writeFileSync(join(directory, `f${index}`), content.subarray(0, size));
    if (index % 10 === 0) symlinkSync(`f${index}`, join(directory, `l${index}`));
  }
  return dir;
}
