import { type Area, type Check, isSound, type Status } from "../../doctor/check.ts";
import { isHybrid, kernelChecks } from "../../doctor/kernel.ts";
import { engineChecks, installationChecks, programChecks } from "../../doctor/programs.ts";
import { storeChecks } from "../../doctor/store.ts";
import { geteuid } from "../../sys/process.ts";
import { programPath } from "../../sys/self.ts";
import type { Command, Context } from "../framework/command.ts";
import { JSON_OPTION } from "../framework/table.ts";

export const command: Command = {
  name: "doctor",
  outside: true,
  summary: "Report what this kernel, store and engines can do, and how to get what is missing",
  operands: [],
  options: [JSON_OPTION],
  description: `
Kernel features are tried on mounts that nobody sees. The exit status is 0 if everything that is required
(marked *) works, else 1.`,
  async run(context, input) {
    const { store, config } = context.settings;
    const ofRoot = () => [...kernelChecks(), ...storeChecks(store)];
    const checks = [
      ...(geteuid() === 0 ? ofRoot() : await checksOfUser(context)),
      ...engineChecks(config, context.env.PATH, isHybrid()),
      ...programChecks(),
      ...installationChecks(),
    ];
    const sound = isSound(checks);
    if (input.has("--json")) context.out(JSON.stringify({ ok: sound, checks }, undefined, 2));
    else for (const line of report(checks, sound)) context.out(line);
    return sound ? 0 : 1;
  },
};

/** Checks outside of a user namespace what is needed to create one, and inside everything that root checks. */
async function checksOfUser({ settings, defaultRun, env }: Context): Promise<Check[]> {
  const { userChecks } = await import("../../doctor/user.ts");
  const { root, run } = settings.store;
  const checks = userChecks({ uid: geteuid(), run, defaultRun, env });
  if (!isSound(checks)) return checks;
  const { execFileSync } = await import("node:child_process");
  const words = ["--root", root, "--run", run];
  const inside = [programPath(), ...words, "internal", "doctor"];
  const text = execFileSync(programPath(), [...words, "unshare", "--", ...inside], {
    encoding: "utf8",
    env,
  });
  return [...checks, ...(JSON.parse(text) as Check[])];
}

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
