import { packagesBetween } from "../../bases/packages.ts";
import { describeLine, type LineEntry } from "../../inventory/describe.ts";
import { readVersion } from "../../store/bases.ts";
import type { Store } from "../../store/paths.ts";
import { checkName } from "../../text/names.ts";
import type { Command } from "../framework/command.ts";
import { type Column, formatBytes, JSON_OPTION, printRows, shorten } from "../framework/table.ts";

interface Row extends LineEntry {
  /** how many packages differ from the previous version; absent: not known */
  readonly packages?: { readonly added: number; readonly removed: number; readonly changed: number };
}

export const command: Command = {
  name: "base log",
  summary: "Show the versions of a base: when, how large, what made each, what uses it",
  operands: [{ name: "NAME", complete: "base" }],
  options: [JSON_OPTION],
  description: `Newest first; * marks the current version. SIZE is the disk space of the layers that the version before
does not have. PACKAGES, for a base with a database of dpkg, rpm or apk, counts those added (+), removed (-) and
changed (~) since the version before; 'veneer base diff' lists them.`,
  run(context, input) {
    const { store } = context.settings;
    const name = checkName("base", input.operands[0] ?? "");
    const rows = withPackages(store, name, describeLine(store, name));
    printRows(context, input, rows, [
      { title: "VERSION", cell: (row) => `${row.current ? "*" : ""}${row.version}`, right: true },
      { title: "CREATED", cell: (row) => row.created },
      {
        title: "SIZE",
        cell: (row) => (row.bytes === undefined ? "in place" : formatBytes(row.bytes)),
        right: true,
      },
      { title: "LAYERS", cell: (row) => String(row.layers), right: true },
      ...(rows.some(({ packages }) => packages) ? [PACKAGES] : []),
      ...(rows.some(({ failed }) => failed) ? [CHECK] : []),
      { title: "ORIGIN", cell: (row) => shorten(row.origin) },
      { title: "USED BY", cell: (row) => row.uses.join(", ") },
    ]);
  },
};

const CHECK: Column<Row> = {
  title: "CHECK",
  cell: ({ failed }) => (failed ? shorten(`failed: ${failed.why}`) : ""),
};

const PACKAGES: Column<Row> = {
  title: "PACKAGES",
  cell: ({ packages }) => (packages ? `+${packages.added} -${packages.removed} ~${packages.changed}` : ""),
};

/** Adds the changes of packages to the rows. Leaves them out when a database cannot be read. */
function withPackages(store: Store, name: string, rows: readonly LineEntry[]): Row[] {
  return rows.map((row, index) => {
    const before = rows[index + 1];
    if (!before) return row;
    try {
      const found = packagesBetween(
        store,
        readVersion(store, { name, version: before.version }),
        readVersion(store, { name, version: row.version }),
      );
      if (!found) return row;
      const { added, removed, changed } = found;
      const packages = { added: added.length, removed: removed.length, changed: changed.length };
      return { ...row, packages };
    } catch {
      return row;
    }
  });
}
