/** Verifies that the layers of a version did not change since they were made. */
import { availableParallelism } from "node:os";
import { VeneerError } from "../errors.ts";
import { formatAmount, type Progress } from "../process/progress.ts";
import { runProgram } from "../process/run-program.ts";
import { readVersion } from "../store/bases.ts";
import { lockLayers, readLayer } from "../store/layers.ts";
import { paths, type Store } from "../store/paths.ts";
import { refuseShared } from "../store/shared.ts";
import { programPath } from "../sys/self.ts";
import { lstatMaybe } from "../sys/stat.ts";
import { type BaseRef, formatBaseRef } from "../text/names.ts";
import { compareListings, compareSums, type Difference } from "./compare-listings.ts";
import { listTree } from "./listing.ts";
import { versionDigest } from "./publish-version.ts";
import { writeLines } from "./seal.ts";
import { listingFile, readLines, sumFiles, sumsFile } from "./sums.ts";

export interface LayerVerdict {
  /** the id, or the path of a base in place */
  readonly layer: string;
  /** `recorded`: the files had no digests yet; this verification recorded them */
  readonly status: "ok" | "recorded" | "changed" | "in place";
  readonly entries?: number;
  readonly bytes?: number;
  readonly differences: readonly Difference[];
}

export interface Verdict {
  readonly name: string;
  readonly version: number;
  readonly ok: boolean;
  readonly layers: readonly LayerVerdict[];
  /** problems of the version itself */
  readonly problems: readonly string[];
}

/** Bytes below which a further process takes longer than it saves. */
const ALONE = 64 * 2 ** 20;

/** Verifies all layers of a version; `gc` and `base rm` remove no layers in the meantime. */
export async function verifyVersion(store: Store, ref: BaseRef, progress: Progress): Promise<Verdict> {
  refuseShared(store, ref.name);
  using _lock = lockLayers(store);
  const base = readVersion(store, ref);
  const layers: LayerVerdict[] = [];
  const problems: string[] = [];
  let number = 0;
  for (const layer of base.manifest.layers) {
    const label = `layer ${++number} of ${base.manifest.layers.length}:`;
    if ("id" in layer) layers.push(await verifyLayer(store, layer.id, label, progress));
    else layers.push({ layer: layer.path, status: "in place", differences: [] });
  }
  try {
    if (versionDigest(store, base.manifest.layers) !== base.manifest.digest) {
      problems.push(`the digest of ${formatBaseRef(base)} is not that of its layers`);
    }
  } catch (error) {
    if (!(error instanceof VeneerError)) throw error;
    problems.push(error.message);
  }
  const ok = problems.length === 0 && layers.every((layer) => layer.status !== "changed");
  return { name: base.name, version: base.version, ok, layers, problems };
}

async function verifyLayer(
  store: Store,
  id: string,
  label: string,
  progress: Progress,
): Promise<LayerVerdict> {
  const directory = paths.layer(store, id);
  const wrong = (what: string): LayerVerdict => ({
    layer: id,
    status: "changed",
    differences: [{ path: ".", what: [what] }],
  });
  const known = lstatMaybe(paths.layerTree(store, id)) && readLayer(store, id);
  if (!known) return wrong("missing");
  const listing = readLines(listingFile(directory));
  if (!listing) return wrong("no listing");
  const digest = new Bun.CryptoHasher("sha256")
    .update(listing.map((line) => `${line}\n`).join(""))
    .digest("hex");
  if (known.listing !== undefined && known.listing !== `sha256:${digest}`) return wrong("listing changed");
  progress.step(`${label} listing`);
  const now: string[] = [];
  listTree(`${directory}/tree`, (_path, line) => void now.push(line));
  const differences = compareListings(listing, now);
  const sums = await sumInParallel(directory, listing, known.bytes, (bytes) =>
    progress.step(`${label} reading`, () => `${formatAmount(bytes())} of ${formatAmount(known.bytes)}`),
  );
  const before = readLines(sumsFile(directory));
  const { entries, bytes } = known;
  if (before) differences.push(...newOnly(differences, compareSums(before, sums)));
  // a layer that has changed already must not get digests of its current contents
  else if (differences.length === 0) writeLines(sumsFile(directory), sums);
  const status = differences.length > 0 ? "changed" : before ? "ok" : "recorded";
  return { layer: id, status, entries, bytes, differences };
}

/** Leaves out differences of files that are reported already, for their size or time. */
function newOnly(known: readonly Difference[], more: readonly Difference[]): Difference[] {
  const paths = new Set(known.map(({ path }) => path));
  return more.filter(({ path }) => !paths.has(path));
}

async function sumInParallel(
  directory: string,
  listing: readonly string[],
  size: number,
  begun: (bytes: () => number) => void,
): Promise<string[]> {
  let done = 0;
  begun(() => done);
  const count = size < ALONE ? 1 : Math.min(availableParallelism(), 16);
  if (count === 1) {
    const sums: string[] = [];
    sumFiles(directory, listing, (line) => sums.push(line));
    return sums;
  }
  const workers = Array.from({ length: count }, async (_, index) => {
    const args = ["internal", "sum-files", directory, String(index), String(count)];
    const text = await runProgram(programPath(), args, {
      line: (line) => {
        done += Number(line.slice(0, line.indexOf(" ")));
      },
    });
    return text.split("\n").flatMap((line) => (line === "" ? [] : [line.slice(line.indexOf(" ") + 1)]));
  });
  const shares = new Map((await Promise.all(workers)).flat().map((line) => [line.slice(65), line]));
  // in the order of the listing, whichever worker read the file
  return listing.flatMap((line) => shares.get(line.slice(0, line.indexOf(" "))) ?? []);
}
