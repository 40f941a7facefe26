/** What a start costs as its base grows: in layers, and in files. */
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { mostLayers } from "../../src/overlay/layer-form.ts";
import { plantBase } from "../../test/helpers/base.ts";
import type { Setting } from "../context.ts";
import { interleave } from "../measure.ts";
import type { Report } from "../table.ts";
import { lastToFirst, onBase, storeOf } from "./start.ts";

const LAYERS = { usual: [1, 10, 100, 500], quick: [1, 10] };
const FILES = { usual: [1_000, 10_000, 100_000, 1_000_000], quick: [1_000, 10_000] };

export async function benchLayers(setting: Setting, runs: number, quick: boolean): Promise<Report> {
  const possible = mostLayers();
  const counts = (quick ? LAYERS.quick : LAYERS.usual).map((count) => Math.min(count, possible));
  const most = Math.max(...counts);
  const dir = join(setting.dir, "growth-layers");
  try {
    const layers = Array.from({ length: most - 1 }, (_, index) => {
      const layer = join(dir, String(index));
      mkdirSync(join(layer, "srv"), { recursive: true });
      writeFileSync(join(layer, "srv", `of-layer-${index}`), String(index));
      return layer;
    });
    const contenders = counts.map((count) => {
      plantBase(storeOf(setting), `layers${count}`, [...layers.slice(0, count - 1), setting.tree]);
      return onBase(setting, `a base of ${count} layers`, `layers${count}`);
    });
    const results = await interleave(contenders, runs);
    return {
      title: "Growth: layers of the base",
      rows: [lastToFirst(`start on a base of ${most} layers, against one`, results)],
      results,
      notes: [`this kernel takes ${possible} layers`],
    };
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

export async function benchFiles(setting: Setting, runs: number, quick: boolean): Promise<Report> {
  const counts = quick ? FILES.quick : FILES.usual;
  const dir = join(setting.dir, "growth-files");
  try {
    const contenders = counts.map((count) => {
      const layer = join(dir, String(count));
      for (let index = 0; index < count; index++) {
        const file = join(layer, `srv/${Math.floor(index / 1000)}/${index % 1000}`);
        if (index % 1000 === 0) mkdirSync(dirname(file), { recursive: true });
        writeFileSync(file, "");
      }
      plantBase(storeOf(setting), `files${count}`, [layer, setting.tree]);
      return onBase(setting, `a base of ${count} files`, `files${count}`);
    });
    const results = await interleave(contenders, runs);
    const what = `start on a base of ${counts.at(-1)} files, against ${counts[0]}`;
    return { title: "Growth: files of the base", rows: [lastToFirst(what, results, 1.1)], results };
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}
