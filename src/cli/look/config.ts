import schema from "../../../schemas/config.json";
import { readConfigFile } from "../../request/config.ts";
import type { Command } from "../framework/command.ts";
import { JSON_OPTION, printRows } from "../framework/table.ts";

export const command: Command = {
  name: "config",
  outside: true,
  summary: "Print the effective configuration and where each value comes from",
  operands: [],
  options: [JSON_OPTION],
  description: `Keys of /etc/veneer/config.json, of a user ~/.config/veneer/config.json:
${Object.entries(schema.properties)
  .map(([key, { description }]) => `  ${key}: ${description}`)
  .join("\n")}`,
  run(context, input) {
    const { store, config } = context.settings;
    const values: Record<string, unknown> = { ...store, ...config };
    const file = readConfigFile(context.configFile);
    const rows = Object.entries(schema.properties).map(([key, { description }]) => ({
      key,
      value: values[key] ?? null,
      from: context.origins[key] ?? (Object.hasOwn(file, key) ? context.configFile : "default"),
      description,
    }));
    printRows(context, input, rows, [
      { title: "KEY", cell: (row) => row.key },
      { title: "FROM", cell: (row) => row.from },
      { title: "VALUE", cell: (row) => (row.value === null ? "-" : JSON.stringify(row.value)) },
    ]);
  },
};
