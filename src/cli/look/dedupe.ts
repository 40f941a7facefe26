import { dedupeStore } from "../../gc/dedupe.ts";
import type { Command } from "../framework/command.ts";
import { drawProgress } from "../framework/progress.ts";
import { formatBytes, JSON_OPTION } from "../framework/table.ts";

export const command: Command = {
  name: "dedupe",
  changes: true,
  summary: "Merge files that are the same in several layers, on disk and in memory",
  operands: [],
  options: [JSON_OPTION],
  description: `Files below /usr, /opt and /lib* of 4 KiB and more that have the same path, content, mode, owner, time and extended
attributes in several layers become one file (hard links). Bases that do not build on each other then share disk space
and page cache. Imports and commits do this for the layers that they make, unless "shareFiles" is false in the
configuration; use dedupe for existing layers, and for a store restored from a copy.

Layers that a container, a mount, an editing session or users use are left unchanged, and counted on stderr. Exports have no
links between files of different bases.`,
  examples: ["veneer dedupe", "veneer dedupe --json"],
  run(context, input) {
    let layers: ReturnType<typeof dedupeStore>;
    {
      using progress = drawProgress(context);
      layers = dedupeStore(context.settings.store, progress);
    }
    const files = layers.reduce((sum, layer) => sum + layer.files, 0);
    const bytes = layers.reduce((sum, layer) => sum + layer.bytes, 0);
    const left = layers.filter(({ inUse }) => inUse).length;
    if (input.has("--json")) context.out(JSON.stringify({ files, bytes, layers }, undefined, 2));
    else context.out(`${files} files shared, ${formatBytes(bytes)} freed`);
    if (left > 0) {
      const what = left === 1 ? "1 layer is" : `${left} layers are`;
      context.note(
        `veneer: dedupe: ${what} in use and left; hint: run it again when what stands on them has ended`,
      );
    }
  },
};
