/** Every operation of both programs: the lists of verbs, hooks and commands are the programs' own. */
import { INTERNAL_VERBS, verbNames } from "../../src/cli/framework/verbs.ts";
import { HOOK_KINDS } from "../../src/hook/kinds.ts";
import { PREPARED } from "../../src/request/runtime-options.ts";
import { ENGINES } from "./engines.ts";
import type { Operation, Operations } from "./operation.ts";
import { VERBS } from "./verbs.ts";

/** Covered as a part of others, or elsewhere: by what. */
const WITHIN: Readonly<Record<string, string>> = {
  unshare: "for users without root: test/e2e/rootless.test.ts",
  hook: "hook oci, hook lxc, hook precreate",
  runtime: "runtime run, runtime create",
  "internal enter-session": "base edit, a command",
  "runtime checkpoint": "needs CRIU that works on this kernel: test/e2e/checkpoint.test.ts",
  "runtime restore": "needs CRIU that works on this kernel: test/e2e/checkpoint.test.ts",
};

/** All that the programs can be asked for. */
const NAMES: readonly string[] = [
  ...verbNames(),
  ...HOOK_KINDS.map((kind) => `hook ${kind}`),
  ...[...PREPARED.keys()].map((command) => `runtime ${command}`),
  "release",
  ...INTERNAL_VERBS,
];

const TRIED: Operations = { ...VERBS, ...ENGINES };

export const OPERATIONS: readonly Operation[] = NAMES.flatMap((name) => TRIED[name] ?? []);

/** What the programs can be asked for and nothing here tries, and what is tried here and they do not have. */
export function missingOperations(): string[] {
  const known = [...Object.keys(TRIED), ...Object.keys(WITHIN)];
  return [
    ...NAMES.filter((name) => !known.includes(name)).map((name) => `no operation for '${name}'`),
    ...known.filter((name) => !NAMES.includes(name)).map((name) => `no such verb: '${name}'`),
  ];
}
