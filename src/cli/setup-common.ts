/** What `setup` and `unsetup` share. */

import type { Engine, SetupRequest } from "../engines/engine.ts";
import { ENGINES } from "../engines/list.ts";
import { UsageError } from "../errors.ts";
import { nearest } from "../nearest.ts";
import { quote } from "../quote.ts";
import { lstatMaybe } from "../sys/stat.ts";
import type { Input, Option } from "./command.ts";

const names = ENGINES.map(({ name }) => name);

export const ENGINE_OPERAND = { name: "ENGINE", complete: names } as const;

export const SETUP_OPTIONS: readonly Option[] = [
  { name: "--dry-run", help: "print what would change, as a diff, and change nothing" },
  {
    name: "--etc",
    value: "DIR",
    help: "where the engine's configuration is (default /etc)",
    complete: "directory",
  },
];

export function engineOf(input: Input): Engine {
  const word = input.operands[0] as string;
  const engine = ENGINES.find(({ name }) => name === word);
  if (engine) return engine;
  const near = nearest(word, names);
  const hint = near === undefined ? `known are ${names.join(", ")}` : `did you mean ${near}?`;
  throw new UsageError(`unknown engine ${quote(word)}`, hint);
}

export function setupRequest(input: Input): SetupRequest {
  const etc = input.value("--etc") ?? "/etc";
  if (!etc.startsWith("/")) throw new UsageError(`--etc ${quote(etc)} is not an absolute path`);
  return { etc: etc.replace(/\/+$/, ""), bin: programDirectory() };
}

/** Where the wrapping runtimes are beside the program: where its links are, when those are on the usual path. */
function programDirectory(): string {
  const own = process.execPath.slice(0, process.execPath.lastIndexOf("/"));
  const linked = ["/usr/bin", "/usr/local/bin"].find((dir) => {
    const program = lstatMaybe(`${dir}/veneer-runc`);
    return program !== undefined && own === `${dir.slice(0, -"bin".length)}lib/veneer`;
  });
  return linked ?? own;
}
