// usage: build.mjs PROGRAM      builds libFuzzer's program of host-fuzz.c and target.ts; its objects are kept in build/
import { join } from "node:path";
import { buildSmall } from "../../scripts/build-small.mjs";

const [, , outfile] = process.argv;
await buildSmall(outfile, process.arch, "0", {
  fuzz: join(import.meta.dirname, "host-fuzz.c"),
  entry: "torture/fuzz/target.ts",
});
