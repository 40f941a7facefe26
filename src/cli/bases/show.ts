import { describeVersion } from "../../inventory/describe.ts";
import { formatBaseRef, parseBaseRef } from "../../text/names.ts";
import type { Command } from "../framework/command.ts";
import { formatBytes, JSON_OPTION, shorten } from "../framework/table.ts";

export const command: Command = {
  name: "base show",
  summary: "Show a version of a base: its layers, their sizes, what made it and what uses it",
  operands: [{ name: "NAME[@V]", complete: "base" }],
  options: [JSON_OPTION],
  description: "Shows the current version unless @V is given.",
  examples: ["veneer base show debian", "veneer base show debian@2 --json"],
  run(context, input) {
    const shown = describeVersion(context.settings.store, parseBaseRef(input.operands[0] ?? ""));
    if (input.has("--json")) {
      context.out(JSON.stringify(shown, undefined, 2));
      return;
    }
    const rows: [string, string][] = [
      ["base", formatBaseRef(shown)],
      ["current", shown.current === shown.version ? "yes" : `no, ${shown.name}@${shown.current} is`],
      ["versions", shown.versions.join(", ")],
      ["created", shown.created],
      ["origin", shorten(shown.origin, 200)],
      ["digest", shown.digest],
      ...(shown.from ? [["from", formatBaseRef(shown.from)] as [string, string]] : []),
      ["size", shown.layers.some(({ bytes }) => bytes === undefined) ? "in place" : formatBytes(shown.bytes)],
    ];
    for (const [label, text] of rows) context.out(`${label.padEnd(9)} ${text}`);
    context.out("layers, top first:");
    for (const layer of shown.layers) {
      const size =
        layer.bytes === undefined ? "in place" : `${formatBytes(layer.bytes)}, ${layer.entries} entries`;
      context.out(
        `  ${layer.path}  ${size}${layer.origin === undefined ? "" : `, ${shorten(layer.origin)}`}`,
      );
    }
    context.out(shown.uses.length === 0 ? "used by nothing" : "used by:");
    for (const use of shown.uses) context.out(`  ${use}`);
  },
};
