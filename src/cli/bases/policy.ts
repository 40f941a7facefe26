import { POLICY_DEFAULTS, policyDirectory, policyPath, readPolicy } from "../../inventory/policy.ts";
import { checkName } from "../../text/names.ts";
import type { Command } from "../framework/command.ts";
import { JSON_OPTION } from "../framework/table.ts";

export const command: Command = {
  name: "base policy",
  summary: "Show how a base follows its source, and where each value comes from",
  operands: [{ name: "NAME", complete: "base" }],
  options: [JSON_OPTION],
  description: `The policy of a base is bases.d/NAME.json beside the configuration file (/etc/veneer/bases.d/NAME.json). It says where new
versions come from (an image, a directory, a command in an editing session, or one on another base), how a candidate is
checked in a temporary container, how instances follow, which versions are kept, and when a round runs. 'veneer base update NAME' runs one.`,
  examples: ["veneer base policy debian", "veneer base policy debian --json"],
  run(context, input) {
    const name = checkName("base", input.operands[0] ?? "");
    const directory = policyDirectory(context.configFile);
    const { policy, given } = readPolicy(directory, name);
    const file = policyPath(directory, name);
    const isGiven = (key: string) => Object.hasOwn(given, key);
    const rows = Object.entries({ ...POLICY_DEFAULTS, ...policy }).map(([key, value]) => ({
      key,
      value,
      from: isGiven(key) ? file : "default",
    }));
    if (input.has("--json"))
      context.out(JSON.stringify({ base: name, policy, file, from: fromOf(rows) }, undefined, 2));
    else for (const { key, value, from } of rows) context.out(`${key} = ${JSON.stringify(value)}  (${from})`);
  },
};

function fromOf(rows: readonly { readonly key: string; readonly from: string }[]): Record<string, string> {
  return Object.fromEntries(rows.map(({ key, from }) => [key, from]));
}
