import { unescapePath } from "../../layers/listing.ts";
import { verifyVersion } from "../../layers/verify.ts";
import { formatBaseRef, parseBaseRef } from "../../text/names.ts";
import type { Command } from "../framework/command.ts";
import { drawProgress } from "../framework/progress.ts";
import { formatBytes, JSON_OPTION } from "../framework/table.ts";

/** How many differences are shown per layer. */
const SHOWN = 20;

export const command: Command = {
  name: "base verify",
  summary: "Check that the layers of a base are unchanged",
  operands: [{ name: "NAME[@V]", complete: "base" }],
  options: [JSON_OPTION],
  description: `Compares each layer's tree with the listing made together with the layer: names, types, modes, owners, sizes, times, links,
devices and extended attributes. Then reads every file and compares its SHA-256 digest. Digests of a layer of
up to 64 MiB are made with the layer; those of a larger one at its first verification, which calls it "recorded": verify
right after an import to have them from the start. Directories in place are not verified.

The exit status is 0 if nothing has changed, else 1; the differences are on stdout, by layer.`,
  examples: ["veneer base verify debian", "veneer base verify debian@2 --json"],
  async run(context, input) {
    const ref = parseBaseRef(input.operands[0] ?? "");
    let verdict: Awaited<ReturnType<typeof verifyVersion>>;
    {
      using progress = drawProgress(context);
      verdict = await verifyVersion(context.settings.store, ref, progress);
    }
    if (input.has("--json")) {
      const layers = verdict.layers.map((layer) => ({
        ...layer,
        differences: layer.differences.map(({ path, what }) => ({ path: unescapePath(path), what })),
      }));
      context.out(JSON.stringify({ ...verdict, layers }, undefined, 2));
      return verdict.ok ? 0 : 1;
    }
    for (const { layer, status, entries, bytes, differences } of verdict.layers) {
      const size = bytes === undefined ? "" : `, ${entries} entries, ${formatBytes(bytes)}`;
      context.out(`${layer}: ${status}${size}`);
      for (const { path, what } of differences.slice(0, SHOWN)) context.out(`  ${path}: ${what.join(", ")}`);
      if (differences.length > SHOWN) context.out(`  and ${differences.length - SHOWN} more`);
    }
    for (const problem of verdict.problems) context.out(problem);
    if (!verdict.ok) {
      context.note(
        `veneer: ${formatBaseRef(verdict)} is not what it was; hint: import it again under another name`,
      );
    }
    return verdict.ok ? 0 : 1;
  },
};
