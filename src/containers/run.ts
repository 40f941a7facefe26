/** A container in the foreground or background, through the wrapping runtime, on a bundle that goes with it. */
import { VeneerError } from "../errors.ts";
import { installHint, isExecutable } from "../process/find-program.ts";
import { heldBy } from "../start/refuse-held.ts";
import { release } from "../start/release.ts";
import { isLive } from "../store/mounts/liveness.ts";
import { makeRun, makeStore, paths, type Store } from "../store/paths.ts";
import { findHolder, findRecords } from "../store/records.ts";
import { readSome, readText, writeAll } from "../sys/fd.ts";
import { adoptOrphans, runInto, type Started } from "../sys/process/detached.ts";
import { runForeground } from "../sys/process/foreground.ts";
import { pipe, waitFor } from "../sys/process/fork.ts";
import { openFiles } from "../sys/process/open-limit.ts";
import { canRead } from "../sys/process/poll.ts";
import { programPath, sleep } from "../sys/self.ts";
import { runToEnd } from "../sys/spawn.ts";
import { lstatMaybe } from "../sys/stat.ts";
import { requireRoot } from "../userns/of-container.ts";
import { type Claim, claimBundle, fillBundle, isClaimed, pidFile, ROOTFS, sweepBundles } from "./bundle.ts";
import { type ContainerOptions, containerFacts } from "./facts.ts";
import { groupOf, neverRan, removeGroups } from "./killed-runtime.ts";
import { ociConfig } from "./oci-config.ts";
import { keepOutput, removeOutput, sweepOutputs } from "./output.ts";

/** runc first: it is what engines use unless told otherwise. */
export const RUNTIMES = ["runc", "crun"] as const;
export type RuntimeName = (typeof RUNTIMES)[number];

export interface RunPlace {
  readonly store: Store;
  /** handed to the wrapping runtime; empty: the default */
  readonly configFile: string;
  readonly runtime: RuntimeName;
  readonly env: Readonly<Record<string, string | undefined>>;
}

/**
 * Runs a container to its end and returns the exit status of its command. When it returns or throws, the bundle
 * is gone, and so is what the runtime and a failed start left. One that is still there `stopTime` milliseconds after
 * SIGTERM is killed. Throws HELD when `id` runs already.
 */
export function runContainer(
  place: RunPlace,
  id: string,
  options: ContainerOptions,
  stopTime?: number,
): number {
  const kill = () => signalContainer(place, id, "KILL");
  const limit = stopTime === undefined ? undefined : { after: stopTime, kill };
  return inBundle(place, id, options, ({ directory }) =>
    runForeground(runtimeWords(place, "run", "--bundle", directory, id), variables(place), limit),
  );
}

/** Sends a signal to its first process. False when it is not there: before its start, and after its end. */
export function signalContainer(place: Omit<RunPlace, "runtime">, id: string, name: string): boolean {
  const runtime = runtimeOf(place.store, id);
  if (!runtime) return false;
  const words = runtimeWords({ ...place, runtime }, "kill", id, name);
  return runToEnd(words, { env: variables(place) }).status === 0;
}

/** What is known of a container once its command runs. */
export interface RunningFacts {
  /** of its first process, in the pid namespace of the caller */
  readonly pid: number;
  readonly base: string;
  readonly version: number;
}

/**
 * Like {@link runContainer}, without a terminal and with its output in the files of output.ts. When the command runs
 * it calls `tell`, if given, then `started`; what the runtime says of a start that failed goes to standard error.
 */
export function keepContainer(
  place: RunPlace,
  id: string,
  options: ContainerOptions,
  started: Started,
  tell?: (running: RunningFacts) => void,
): number {
  return inBundle(place, id, options, ({ directory, lock }) => {
    const { read, write } = pipe();
    using output = read;
    adoptOrphans();
    const words = ["run", "--detach", "--pid-file", pidFile(directory), "--bundle", directory, id];
    const status = runInto(runtimeWords(place, ...words), variables(place), write);
    write[Symbol.dispose]();
    if (status !== 0) {
      const said = new Uint8Array(PIPE_SIZE);
      const length = canRead(output, 0) ? readSome(output.number, said, "output") : 0;
      writeAll(2, said.subarray(0, length), "standard error");
      return status;
    }
    const pid = Number(readText(pidFile(directory)));
    const record = tell && findRecords(place.store, id, directory)[0];
    if (record) tell({ pid, base: record.base, version: record.version });
    started([lock, output]);
    keepOutput(place.store, id, output);
    return waitFor(pid);
  });
}

/** pipe(7) */
const PIPE_SIZE = 65536;

function inBundle(
  place: RunPlace,
  id: string,
  options: ContainerOptions,
  action: (claim: Claim) => number,
): number {
  const { store } = place;
  makeStore(store);
  makeRun(store);
  sweepRuns(place);
  using claim = takeBundle(place, id, options.name);
  removeOutput(store, id);
  const known = containerFacts(store, options, id, ROOTFS);
  const facts = {
    ...known,
    // a user may have no control group to make one in: without a path the runtime is content with none
    ...(!known.rootless && { cgroupsPath: groupOf(id, claim.directory) }),
    nofile: openFiles(),
  };
  fillBundle(claim, ociConfig(facts), options.idmap && requireRoot(options.idmap));
  try {
    return action(claim);
  } finally {
    // when the runtime was killed its container is left: it ends with us
    deleteState(place, id);
    settle(store, id, claim.directory);
    if (findRecords(store, id, claim.directory).length > 0) reclaim(place, id, claim.directory);
  }
}

/** Milliseconds to wait for another process that has the bundle: it may be about to end, or to say who it is. */
const CLAIM_WAIT = 1000;

function takeBundle(place: RunPlace, id: string, name: string | undefined): Claim {
  const { store } = place;
  for (const end = Date.now() + CLAIM_WAIT; ; ) {
    const claim = claimBundle(store, id, (directory) => {
      if (!reclaim(place, id, directory)) throw running(store, id, name);
    });
    if (claim) return claim;
    const error = running(store, id, name);
    if (error.code === "HELD" || Date.now() > end) throw error;
    sleep(20);
  }
}

/** The wrapping runtime and its words, for containers of our own. */
export function runtimeWords(place: RunPlace, ...words: readonly string[]): string[] {
  return [wrapper(place.runtime), ...storeWords(place), ...words];
}

/** The environment of the runtime. */
export function variables({ env }: Pick<RunPlace, "env">): string[] {
  return Object.entries(env).flatMap(([name, value]) => (value === undefined ? [] : `${name}=${value}`));
}

function storeWords({ store, configFile, runtime }: RunPlace): string[] {
  const words = ["--veneer-store", store.root, store.run, configFile];
  return [...words, "--root", paths.runtimeState(store, runtime)];
}

/** The wrapping runtime, which is installed beside the program. */
function wrapper(runtime: RuntimeName): string {
  const program = programPath();
  const file = `${program.slice(0, program.lastIndexOf("/"))}/veneer-${runtime}`;
  if (isExecutable(file)) return file;
  throw new VeneerError("NO_PROGRAM", `${file} is missing`, {
    hint: "install the program and the scripts of dist/ into one directory ('npm run install-local')",
  });
}

export function noRuntime(name: string): VeneerError {
  return new VeneerError("NO_RUNTIME", `the runtime ${name} is not installed`, {
    hint: `${installHint(name)}, or name it in /etc/veneer/config.json under "runtimes"`,
  });
}

function running(store: Store, id: string, name: string | undefined): VeneerError {
  const holder = name === undefined ? undefined : findHolder(store, name);
  if (holder && isLive(holder)) return heldBy(name as string, holder);
  return new VeneerError("BUSY", `${id} is being started or stopped by another 'veneer run'`, {
    hint: "try again in a moment, or use another name",
  });
}

/**
 * Removes the runtime's state, the record and the control groups of a container that is gone; false when it is there
 * still. A runtime that was killed leaves its state, which would refuse the id for ever.
 */
function reclaim(place: Omit<RunPlace, "runtime">, id: string, directory: string): boolean {
  const { store } = place;
  const records = findRecords(store, id, directory);
  if (records.some((record) => isLive(record)) && !neverRan(store, id)) return false;
  deleteState(place, id);
  for (const record of records) release(store, record);
  removeGroups(id, directory);
  return true;
}

/** Whether a container is there, or is being started or ended. */
export function isUp(store: Store, id: string): boolean {
  return isClaimed(store, id) || findRecords(store, id, paths.bundle(store, id)).some((one) => isLive(one));
}

/** The runtime that a container was started with; undefined before that and after its end. */
export function runtimeOf(store: Store, id: string): RuntimeName | undefined {
  return RUNTIMES.find((runtime) => lstatMaybe(`${paths.runtimeState(store, runtime)}/${id}`));
}

/** Ends what a killed runtime left of a container: its processes, control groups and state. */
function deleteState(place: Omit<RunPlace, "runtime">, id: string): void {
  const { store } = place;
  for (const runtime of RUNTIMES) {
    if (!lstatMaybe(`${paths.runtimeState(store, runtime)}/${id}`)) continue;
    // when the runtime itself is gone, or its state is damaged, the next start of this id says so
    const words = runtimeWords({ ...place, runtime }, "delete", "--force", id);
    runToEnd(words, { env: variables(place) });
  }
}

/**
 * Removes what `veneer run` processes that were killed left of containers that are gone; returns the directories
 * of their bundles. With `dryRun` it removes nothing.
 */
export function sweepRuns(place: Omit<RunPlace, "runtime">, dryRun = false): string[] {
  const found: string[] = [];
  const removed = sweepBundles(place.store, (id, directory) => {
    const unnamed = id.startsWith(".");
    if (!dryRun) return unnamed || reclaim(place, id, directory);
    const isUsed = findRecords(place.store, id, directory).some((record) => isLive(record));
    if (unnamed || !isUsed || neverRan(place.store, id)) found.push(directory);
    return false;
  });
  if (!dryRun) sweepOutputs(place.store);
  return [...found, ...removed];
}

/** Waits until the end of a container is complete: its last process can outlive the runtime by a moment. */
function settle(store: Store, id: string, directory: string): void {
  for (let attempt = 0; attempt < 50; attempt++) {
    if (!findRecords(store, id, directory).some((record) => isLive(record))) return;
    sleep(20);
  }
}
