/** What the parts about growth have in common: starts of `veneer-runc run`. */
import type { Host } from "../../test/helpers/host.ts";
import type { Setting } from "../context.ts";
import type { Contender, Result } from "../measure.ts";
import { quiet } from "../members.ts";
import { makeBundle, runContender, veneerRunc } from "../runc.ts";
import { compare, type Row } from "../table.ts";

export const storeOf = (setting: Setting) => ({ root: setting.root }) as Host;

/** A bundle of a container that runs `args` on a base. */
export function bundleOn(setting: Setting, name: string, base: string, args: readonly string[]): string {
  return makeBundle(setting, name, args, { "run.veneer.base": base });
}

/** `veneer-runc run` of `/bin/true` on a base, while nothing else is alive. */
export function onBase(setting: Setting, name: string, base: string, dir = `growth-${base}`): Contender {
  const bundle = bundleOn(setting, dir, base, ["/bin/true"]);
  return { ...runContender(setting, name, veneerRunc(setting), bundle), after: () => quiet(setting) };
}

/** The last against the first. */
export function lastToFirst(what: string, results: readonly Result[], goal?: number): Row {
  return compare(what, results, results.at(-1)?.name ?? "", results[0]?.name ?? "", goal);
}
