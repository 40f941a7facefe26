/** Bringing an image of a few layers into a store, against skopeo and umoci. */
import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { addImage } from "../test/helpers/image.ts";
import { CannotRun } from "./compile.ts";
import { has, PATH, type Setting, VENEER } from "./context.ts";
import { type Contender, interleave } from "./measure.ts";
import { compare, type Report } from "./table.ts";

const LAYERS = 4;
const FILES = 2000;
const LARGE = 16 << 20;

export async function benchImage(setting: Setting, runs: number): Promise<Report> {
  const missing = ["skopeo", "umoci"].filter((program) => !has(program));
  if (missing.length > 0) throw new CannotRun(`not installed: ${missing.join(", ")}`);
  const dir = join(setting.dir, "image");
  const layout = join(dir, "layout");
  addImage(
    layout,
    "1",
    Array.from({ length: LAYERS }, (_, index) => layerTar(dir, index)),
  );
  const out = join(dir, "out");
  const clean = {
    env: { PATH },
    cwd: dir,
    before() {
      rmSync(out, { recursive: true, force: true });
      mkdirSync(out);
      // what earlier runs left to be written is not this one's work
      execFileSync("sync", ["-f", dir]);
    },
  };
  const script = "skopeo copy -q oci:layout:1 oci:out/copy:1 && umoci unpack --image out/copy:1 out/bundle";
  const options = ["--root", join(out, "store"), "--run", setting.run];
  const contenders: Contender[] = [
    {
      name: "veneer base import",
      command: [VENEER, ...options, "base", "import", "image", "oci:layout:1"],
      ...clean,
    },
    { name: "skopeo copy + umoci unpack", command: ["sh", "-c", `${script} >/dev/null`], ...clean },
  ];
  const results = await interleave(contenders, runs, 1);
  rmSync(dir, { recursive: true });
  const what = `import of an image of ${LAYERS} layers, digests checked and on disk, against skopeo copy + umoci unpack`;
  const [ours, theirs] = contenders.map(({ name }) => name) as [string, string];
  return { title: "Images", rows: [compare(what, results, ours, theirs, 1)], results };
}

/** Many small files and a large one, of machine code and text: what a layer is made of. */
function layerTar(dir: string, index: number): Buffer {
  const tree = join(dir, "tree");
  const content = readFileSync(VENEER);
  let at = index * LARGE;
  const slice = (length: number) => {
    if (at + length > content.length) at = 0;
    at += length;
    return content.subarray(at - length, at);
  };
  for (let number = 0; number < FILES; number++) {
    const directory = join(tree, `layer-${index}`, `d${number % 50}`);
    mkdirSync(directory, { recursive: true });
    writeFileSync(join(directory, `file-${number}`), slice(1000 + ((number * 7919) % 20_000)));
  }
  writeFileSync(join(tree, `layer-${index}`, "large"), slice(LARGE));
  const tar = execFileSync("tar", ["-C", tree, "--sort=name", "-c", "."], { maxBuffer: 1 << 30 });
  rmSync(tree, { recursive: true });
  return tar;
}
