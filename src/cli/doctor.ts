import { type Area, type Check, isSound, type Status } from "../doctor/check.ts";
import { isHybrid, kernelChecks } from "../doctor/kernel.ts";
import { engineChecks, installationChecks, programChecks } from "../doctor/programs.ts";
import { storeChecks } from "../doctor/store.ts";
import type { Command } from "./command.ts";
import { JSON_OPTION } from "./table.ts";

export const command: Command = {
  name: "doctor",
  outside: true,
  summary: "Tell what this kernel, store and engines can do, and how to get what is missing",
  operands: [],
  options: [JSON_OPTION],
  description: `
Features of the kernel are tried, on mounts that nobody sees. Status 0 when all is there that nothing works
without (marked *), else 1.`,
  async run(context, input) {
    const { store, config } = context.settings;
    const checks = [
      ...(await kernelChecks()),
      ...storeChecks(store),
      ...engineChecks(config, context.env.PATH, isHybrid()),
      ...programChecks(context.env.PATH),
      ...installationChecks(),
    ];
    const sound = isSound(checks);
    if (input.has("--json")) context.out(JSON.stringify({ ok: sound, checks }, undefined, 2));
    else for (const line of report(checks, sound)) context.out(line);
    return sound ? 0 : 1;
  },
};

const MARKS: Readonly<Record<Status, string>> = { ok: "ok", limited: "~", missing: "-", unknown: "?" };

function report(checks: readonly Check[], sound: boolean): string[] {
  const width = Math.max(...checks.map(({ name }) => name.length)) + 1;
  const lines: string[] = [];
  let area: Area | undefined;
  for (const check of checks) {
    if (check.area !== area) lines.push(...(area === undefined ? [] : [""]), check.area);
    area = check.area;
    const name = `${check.name}${check.required ? "*" : ""}`.padEnd(width);
    const hint = check.hint === undefined ? "" : `; hint: ${check.hint}`;
    lines.push(`  ${MARKS[check.status].padEnd(2)}  ${name}  ${check.detail}${hint}`);
  }
  lines.push(
    "",
    sound
      ? "All is there that veneer needs."
      : "Something that veneer needs is missing: see the lines with *.",
  );
  return lines;
}
