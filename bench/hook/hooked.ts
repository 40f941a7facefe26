/** A whole container by the OCI hook at createRuntime and poststop, against plain runc on a directory. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { emptyStore, type Setting, VENEER } from "../context.ts";
import { interleave } from "../measure.ts";
import { makeBundle, runContender } from "../runc.ts";
import { compare, type Report } from "../table.ts";

/** `RUNC` in the environment names another runc: what a hook does depends on its version (docs/oci-hooks.md). */
export async function benchHooked(setting: Setting, runs: number): Promise<Report> {
  const runc = process.env.RUNC ?? "runc";
  const plain = makeBundle(setting, "hooked-plain", ["/bin/true"]);
  const contenders = [
    runContender(setting, "runc run", [runc], plain),
    runContender(
      setting,
      "runc run, veneer at createRuntime",
      [runc],
      hooked(setting, "hooked-start", false),
    ),
    runContender(setting, "runc run, veneer at both", [runc], hooked(setting, "hooked-both", true)),
  ];
  const results = await interleave(contenders, runs);
  emptyStore(setting);
  const rows = [
    compare(
      "runc run with the hooks, against runc run",
      results,
      "runc run, veneer at both",
      "runc run",
      1.15,
    ),
    compare(
      "runc run with the hook at createRuntime alone, against runc run",
      results,
      "runc run, veneer at createRuntime",
      "runc run",
    ),
  ];
  return { title: "Container by OCI hook", rows, results };
}

function hooked(setting: Setting, name: string, poststop: boolean): string {
  const bundle = makeBundle(setting, name, ["/bin/true"], {});
  const args = ["veneer", ...setting.options, "hook", "oci", "--base", "bench"];
  const hook = [{ path: VENEER, args, env: ["PATH=/usr/bin:/bin"] }];
  const file = join(bundle, "config.json");
  const config = JSON.parse(readFileSync(file, "utf8"));
  config.hooks = { createRuntime: hook, ...(poststop && { poststop: hook }) };
  writeFileSync(file, JSON.stringify(config));
  return bundle;
}
