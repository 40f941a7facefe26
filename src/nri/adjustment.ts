/** What a container of a pod that names a base is given: veneer's OCI hooks, and the annotations that they read. */
import { MINIMAL_ENVIRONMENT } from "../sys/environment.ts";
import { bytesOf, decode, encode, type Fields, mapFields, mapOf, textOf } from "./protobuf.ts";

/** How the hook is called. */
export interface HookCall {
  readonly path: string;
  readonly args: readonly string[];
}

const PREFIX = "run.veneer.";
/** The handler whose runtime gives containers their root itself. */
const HANDLER = "veneer";

// nri, pkg/api/api.proto
const POD = 1;
const CONTAINER = 2;
const ANNOTATIONS = 6;
const RUNTIME_HANDLER = 7;

/** The answer to CreateContainer (CreateContainerResponse); empty for a container that names no base. */
export function answerTo(request: Fields, hook: HookCall): Uint8Array {
  const pod = decode(bytesOf(request, POD));
  const own = mapOf(decode(bytesOf(request, CONTAINER)), ANNOTATIONS);
  const wanted = { ...ours(mapOf(pod, ANNOTATIONS)), ...ours(own) };
  if (wanted[`${PREFIX}base`] === undefined || textOf(pod, RUNTIME_HANDLER) === HANDLER) {
    return new Uint8Array();
  }
  const missing = Object.fromEntries(Object.entries(wanted).filter(([name]) => own[name] === undefined));
  const call = encode([
    [1, hook.path],
    ...hook.args.map((arg): [number, string] => [2, arg]),
    ...MINIMAL_ENVIRONMENT.map((entry): [number, string] => [3, entry]),
  ]);
  // Hooks: create_runtime, poststop
  const hooks = encode([
    [2, call],
    [6, call],
  ]);
  const adjustment = encode([...mapFields(2, missing), [5, hooks]]);
  return encode([[1, adjustment]]);
}

function ours(annotations: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(annotations).filter(([name]) => name.startsWith(PREFIX)));
}
