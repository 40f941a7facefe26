import { diffVersions } from "../../bases/diff-versions.ts";
import { packageLines } from "../../bases/package-databases.ts";
import { packagesBetween } from "../../bases/packages.ts";
import { VeneerError } from "../../errors.ts";
import { type BaseVersion, readVersion } from "../../store/bases.ts";
import type { Store } from "../../store/paths.ts";
import { storeOfBase } from "../../store/shared.ts";
import { listVersions } from "../../store/versions.ts";
import { printablePath } from "../../text/file-names.ts";
import { type BaseRef, formatBaseRef, parseBaseRef } from "../../text/names.ts";
import type { Command, Context } from "../framework/command.ts";
import { drawProgress } from "../framework/progress.ts";
import { JSON_OPTION } from "../framework/table.ts";

export const command: Command = {
  name: "base diff",
  summary: "Show what differs between two versions: packages and files",
  operands: [
    { name: "NAME[@V]", complete: "base" },
    { name: "NAME[@V]", optional: true, complete: "base" },
  ],
  options: [
    { name: "--packages", help: "only packages" },
    { name: "--files", help: "only files" },
    JSON_OPTION,
  ],
  description: `With one NAME@V: from it to the current version of the base. With one NAME: from the version before the current one.

Packages are those in the databases of dpkg, rpm (SQLite) and apk: "added NAME VERSION", "removed NAME VERSION", "changed
NAME OLD → NEW". Files are lines A, C and D as in 'veneer diff': added, changed, deleted. Contents, types, modes,
owners, links, devices and extended attributes count; times do not. Files that the versions do not share are read. Of a
directory in place, the store in it is left out.`,
  examples: [
    "veneer base diff debian",
    "veneer base diff debian@1 debian@3 --packages",
    "veneer base diff debian apps",
  ],
  run(context, input) {
    const { store } = context.settings;
    const [before, after] = versionsOf(store, input.operands);
    const both = input.has("--files") === input.has("--packages");
    const packages = both || input.has("--packages") ? packagesBetween(store, before, after) : undefined;
    const files = both || input.has("--files") ? filesBetween(context, before, after) : undefined;
    if (input.has("--json")) {
      const [from, to] = [formatBaseRef(before), formatBaseRef(after)];
      context.out(JSON.stringify({ from, to, packages, files }, undefined, 2));
      return;
    }
    const lines = packages ? packageLines(packages) : [];
    for (const line of lines) context.out(line);
    if (lines.length > 0 && files && files.length > 0) context.out("");
    for (const { kind, path } of files ?? []) context.out(`${kind} ${printablePath(path)}`);
  },
};

function filesBetween(context: Context, before: BaseVersion, after: BaseVersion) {
  using progress = drawProgress(context);
  return diffVersions(context.settings.store, before, after, progress);
}

function versionsOf(store: Store, [first = "", second]: readonly string[]): [BaseVersion, BaseVersion] {
  const ref = parseBaseRef(first);
  if (second !== undefined) return [readVersion(store, ref), readVersion(store, parseBaseRef(second))];
  const current = readVersion(store, { name: ref.name });
  const from: BaseRef = ref.version === undefined ? beforeThat(store, current) : ref;
  return [readVersion(store, from), current];
}

function beforeThat(store: Store, { name, version }: BaseVersion): BaseRef {
  const before = listVersions(storeOfBase(store, name), name).findLast((one) => one < version);
  if (before !== undefined) return { name, version: before };
  throw new VeneerError(
    "ONE_VERSION",
    `base ${name} has no version before ${formatBaseRef({ name, version })}`,
    {
      hint: "name two versions",
    },
  );
}
