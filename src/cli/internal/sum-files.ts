import { listingFile, readLines, sumFiles } from "../../layers/sums.ts";
import type { Command } from "../framework/command.ts";

/** Lines are written in groups of CHUNK; after a file of LARGE bytes or more at once, so that progress is visible. */
const CHUNK = 100;
const LARGE = 2 ** 20;

export const command: Command = {
  name: "internal sum-files",
  summary: "Digest a share of a layer's files: lines of size, digest, path",
  operands: [{ name: "LAYER" }, { name: "INDEX" }, { name: "COUNT" }],
  options: [],
  run(context, input) {
    const [directory = "", index, count] = input.operands;
    const listing = readLines(listingFile(directory)) ?? [];
    let chunk: string[] = [];
    const emit = (line: string, bytes: number) => {
      chunk.push(`${bytes} ${line}`);
      if (chunk.length < CHUNK && bytes < LARGE) return;
      context.out(chunk.join("\n"));
      chunk = [];
    };
    sumFiles(directory, listing, emit, { index: Number(index), count: Number(count) });
    if (chunk.length > 0) context.out(chunk.join("\n"));
  },
};
