import { readVersion } from "../store/bases.ts";
import { paths } from "../store/paths.ts";
import { isErrno } from "../sys/errno.ts";
import { list } from "../sys/stat.ts";
import type { Command } from "./command.ts";
import { JSON_OPTION, printRows } from "./table.ts";

export const command: Command = {
  name: "base ls",
  summary: "List the bases",
  operands: [],
  options: [JSON_OPTION],
  run(context, input) {
    const { store } = context.settings;
    let names: string[] = [];
    try {
      names = list(paths.bases(store)).sort();
    } catch (error) {
      if (!isErrno(error, "ENOENT")) throw error;
    }
    const rows = names.map((name) => {
      const { version, manifest } = readVersion(store, { name });
      return {
        name,
        version,
        layers: manifest.layers.length,
        created: manifest.created,
        origin: manifest.origin,
      };
    });
    printRows(context, input, rows, [
      { title: "NAME", cell: (row) => row.name },
      { title: "VERSION", cell: (row) => String(row.version), right: true },
      { title: "LAYERS", cell: (row) => String(row.layers), right: true },
      { title: "CREATED", cell: (row) => row.created },
      { title: "ORIGIN", cell: (row) => row.origin },
    ]);
  },
};
