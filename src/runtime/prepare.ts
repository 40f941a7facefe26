/**
 * `veneer runtime`: prepares a container for the wrapping runtime, which execs the real one afterwards. With
 * placement `private` the caller is in a mount namespace of its own, so the rewritten config.json is bound
 * over the bundle's, which stays as it is; with `host` it is published in its place.
 */

import { during, UsageError } from "../errors.ts";
import { logEvent } from "../report/event-log.ts";
import { reportToRuntimeLog } from "../report/runtime-log.ts";
import { type Arguments, readGlobalOption } from "../request/arguments.ts";
import { type GlobalOptions, readSettings, type Settings } from "../request/config.ts";
import { actingUser } from "../request/default-paths.ts";
import { dockerOwner, ownedInstance } from "../request/docker.ts";
import { appendToArray } from "../request/json-edit.ts";
import { type BundleConfig, parseBundleConfig, readBundleText, rootPath } from "../request/oci-config.ts";
import {
  isSandbox,
  mergeWishes,
  type RootRequest,
  type Wishes,
  wishesOfAnnotations,
  wishesOfProcess,
} from "../request/root-request.ts";
import { parseRuntimeCall, type RuntimeCall } from "../request/runtime-args.ts";
import { hasHiddenRoot, showRoot } from "../start/checkpoint.ts";
import type { Operation } from "../start/operations.ts";
import { checkRestorable } from "../start/restore.ts";
import { start } from "../start/start.ts";
import { paths } from "../store/paths.ts";
import { type Record, recordKey } from "../store/records.ts";
import { Fd, uniqueSuffix, writeAll } from "../sys/fd.ts";
import { programPath, workingDirectory } from "../sys/self.ts";
import { lstatMaybe } from "../sys/stat.ts";
import { checkContainerId } from "../text/names.ts";
import { quote } from "../text/quote.ts";
import { usernsOfConfig } from "../userns/of-container.ts";

/** Returns "help" when that is what the arguments ask for. */
export function prepareRuntime(args: Arguments, options: GlobalOptions): "help" | undefined {
  let placement: "private" | "host" | undefined;
  let which: string | undefined;
  let real = "runc";
  let byHand = false;
  let onBase = false;
  let script: number | undefined;
  for (let word = args.next(); word !== "--"; word = args.next()) {
    if (word === "--real") real = args.value(word);
    else if (word === "--which") which = args.value(word);
    else if (word === "--by-hand") byHand = true;
    else if (word === "--on-base") onBase = true;
    else if (word === "--script") script = Number(args.value(word));
    else if (word === "--placement") placement = checkPlacement(args.value(word));
    else if (word === "--help" || word === "-h") return "help";
    else if (word === undefined) break;
    else if (!readGlobalOption(word, args, options)) {
      throw new UsageError(
        `unknown option ${quote(word)} of runtime`,
        "it is called by veneer-runc and veneer-crun",
      );
    }
  }
  if (which !== undefined) {
    print(readSettings(options).config.runtimes[which] ?? "");
    return undefined;
  }
  if (onBase) {
    const call = parseRuntimeCall(args.rest());
    if (call && hasHiddenRoot(readSettings(options).store, call.id)) print("yes");
    return undefined;
  }
  if (!placement)
    throw new UsageError("veneer runtime is called by veneer-runc and veneer-crun", "use those");
  const call = parseRuntimeCall(args.rest());
  if (!call) {
    sayReady();
    return undefined;
  }
  let settings: Settings | undefined;
  try {
    settings = readSettings(options);
    if (call.command === "checkpoint") showRoot(settings.store, call.id);
    else if (!existsAlready(real, call)) prepare(settings, call, { placement, byHand, script });
  } catch (error) {
    logEvent(settings?.config, { event: "error", engine: "runtime", container: call.id, error });
    reportToRuntimeLog(real, call, error);
    throw error;
  }
  sayReady();
  return undefined;
}

function print(text: string): void {
  writeAll(1, new TextEncoder().encode(text), "stdout");
}

/** The script goes on when it reads this and sees the end of stdout, while this process still ends. */
function sayReady(): void {
  print("ready");
  new Fd(1)[Symbol.dispose]();
}

/** The runtime refuses a second container of one id by itself, and nothing shall be made for it. */
function existsAlready(real: string, call: RuntimeCall): boolean {
  const user = call.root === undefined ? actingUser() : undefined;
  const root = call.root ?? (user === undefined ? `/run/${real}` : `/run/user/${user}/${real}`);
  return lstatMaybe(`${root}/${checkContainerId(call.id)}`) !== undefined;
}

function checkPlacement(text: string): "private" | "host" {
  if (text === "private" || text === "host") return text;
  throw new UsageError(`placement ${quote(text)} is not valid`, "it is private or host");
}

interface Calling {
  readonly placement: "private" | "host";
  /** `veneer run` wrote the annotations, so they are the administrator's own wishes */
  readonly byHand: boolean;
  /** the process of the wrapping runtime's script */
  readonly script: number | undefined;
}

function prepare(settings: Settings, call: RuntimeCall, calling: Calling): void {
  const { placement, byHand, script } = calling;
  const bundle = absolute(call.bundle ?? ".");
  const file = call.config?.startsWith("/") ? call.config : `${bundle}/${call.config ?? "config.json"}`;
  const text = readBundleText(file);
  const config: BundleConfig = parseBundleConfig(text, file);
  const wishes = during(file, () => wishesOfAnnotations(config.annotations));
  const request = byHand
    ? mergeWishes(wishes, {}, settings.config, call.id)
    : requestOfContainer(settings, call.id, config, wishes);
  if (!request) return;
  const id = checkContainerId(call.id);
  if (call.command === "restore") during(`restore ${id}`, () => checkRestorable(settings.store, request));
  using userns = usernsOfConfig(settings.store, config, placement === "private" ? script : undefined);
  const addHook = (record: Record): Operation[] => {
    const rewritten = withPoststop(text, config, settings, record);
    return placement === "host"
      ? [{ op: "replace-file", path: file, text: rewritten }]
      : [{ op: "bind-file", file: paths.config(settings.store, record.key), text: rewritten, target: file }];
  };
  const consumer = {
    engine: "runtime",
    // a name of its own for each start: the teardown of an earlier one may still be under way
    key: recordKey("runtime", id, `${bundle}\0${uniqueSuffix()}`),
    container: id,
    bundle,
    ...(userns && { userns }),
    place: { placement, target: rootPath(config, bundle) },
  } as const;
  start(settings, request, consumer, addHook);
}

function requestOfContainer(
  settings: Settings,
  id: string,
  config: BundleConfig,
  annotations: Wishes,
): RootRequest | undefined {
  if (isSandbox(config.annotations)) return undefined;
  const environment = wishesOfProcess(config.process?.env ?? [], settings.config.environment) ?? {};
  const owner = dockerOwner(config, id);
  const owned = owner && ownedInstance({ ...environment, ...annotations }, id);
  const request = mergeWishes(owned ?? {}, annotations, settings.config, id, environment);
  return request && owned ? { ...request, owner } : request;
}

function absolute(path: string): string {
  const joined = path.startsWith("/") ? path : `${workingDirectory()}/${path}`;
  const parts: string[] = [];
  for (const part of joined.split("/")) {
    if (part === "..") parts.pop();
    else if (part !== "" && part !== ".") parts.push(part);
  }
  return `/${parts.join("/")}`;
}

const STRING = String.raw`"(?:[^"\\]|\\.)*"`;
/** Our hook as it is written below, with a comma that parts it from another. */
const HOOK = String.raw`\{"path":"/bin/sh","args":\["sh","[^"]*/veneer-release"(?:,${STRING})*\],"env":\[${STRING}\]\}`;

/** The text with our hook at the end of hooks.poststop, in place of one that an earlier run left there. */
function withPoststop(text: string, config: BundleConfig, settings: Settings, record: Record): string {
  const { store } = settings;
  const ephemeral = record.ephemeral === undefined ? "" : paths.ephemeral(store, record.ephemeral);
  const mounted = record.placement === "host" ? (record.target ?? "") : "";
  const script = `${programPath().slice(0, programPath().lastIndexOf("/"))}/veneer-release`;
  // no timeout: with one, crun misses the end of a hook when another child of its ends at the same time
  const hook = JSON.stringify({
    path: "/bin/sh",
    args: [
      "sh",
      script,
      paths.record(store, record.key),
      paths.config(store, record.key),
      ephemeral,
      mounted,
      record.instance === undefined ? "" : paths.instance(store, record.instance),
    ],
    env: ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"],
  });
  const clean = text.includes('/veneer-release"')
    ? text.replaceAll(new RegExp(`,${HOOK}|${HOOK},?`, "g"), "")
    : text;
  return appendToArray(clean, config, ["hooks", "poststop"], hook);
}
