/** One operation, struck at one point in one way; then what must hold on any host. */
import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Outcome } from "../../test/helpers/host.ts";
import { ageTemporaries, leftovers } from "../../test/helpers/leftovers.ts";
import { waitFor } from "../../test/helpers/wait.ts";
import { isBareException } from "../part.ts";
import type { Call, Operation } from "./operation.ts";
import { type Kind, type Point, pointsOf, recording, striking } from "./points.ts";
import { HUNG, type World } from "./world.ts";

/** An operation, and how it runs when nothing happens to it. */
export interface Reference {
  readonly operation: Operation;
  readonly points: readonly Point[];
  readonly stdout: string;
}

const start = (world: World, { file, args, ...options }: Call): Promise<Outcome> =>
  world.run(file, args, options);

/** Runs it once in peace, recorded, and once more not recorded, where what it prints must be known. */
export async function refer(world: World, operation: Operation): Promise<Reference> {
  const record = join(world.dir, `record`);
  const once = async (tracer: readonly string[]) => {
    await world.reset();
    await operation.prepare?.(world);
    const outcome = await start(world, await operation.call(world, tracer));
    if (!operation.background) await traceEnded(world);
    const wrong = outcome.status !== 0 || (await judge(world, operation, outcome));
    if (wrong) throw new Error(`${operation.name} in peace: ${wrong === true ? describe(outcome) : wrong}`);
    await mustBeInOrder(world, operation);
    return outcome;
  };
  const { stdout } = await once(recording(record));
  return { operation, points: pointsOf(record, operation.program === "large"), stdout };
}

/** A hook's tracer outlives its container for a moment. */
async function traceEnded(world: World): Promise<void> {
  await waitFor(() => !world.left().some((line) => line.includes("strace")));
}

const describe = ({ status, stdout, stderr }: Outcome) =>
  `status ${status}: ${(stderr || stdout).slice(-400)}`;

/** Throws what does not hold. */
export async function strike(world: World, reference: Reference, point: Point, kind: Kind): Promise<void> {
  const { operation } = reference;
  await world.reset();
  await operation.prepare?.(world);
  const outcome = await start(world, await operation.call(world, striking(point, kind)));
  if (outcome.status === HUNG) throw new Error("it hangs");
  if (!operation.background) await traceEnded(world);
  // a killed program has said nothing, and one whose output fails cannot
  const isOutput = /^(write|writev)\([12],/.test(point.text);
  if (kind !== "kill") {
    const wrong = await judge(world, operation, outcome, isOutput ? undefined : reference, point.early);
    if (wrong) throw new Error(wrong);
  }
  await mustBeInOrder(world, operation);
}

/** What is wrong with how an operation ended, if anything is. */
export async function judge(
  world: World,
  { name, program, shows, reads, proof }: Operation,
  outcome: Outcome,
  reference?: Reference,
  lenient = false,
): Promise<string | undefined> {
  const { status, stdout, stderr } = outcome;
  if (isBareException(stderr)) return `a bare exception: ${stderr.slice(-600)}`;
  // never a container on the wrong root, whatever it says
  if (shows && /^[0-9]+$/.test(stdout) && stdout !== shows) return `it runs on ${stdout}, not on ${shows}`;
  if (status === 0) {
    if (shows && stdout !== shows) return `status 0, but it printed '${stdout.slice(0, 100)}'`;
    const shown = await proof?.(world);
    if (shown) return `status 0, but ${shown}`;
    if (reads && reference && stderr === "" && stableText(stdout) !== stableText(reference.stdout)) {
      return `status 0 and no warning, but it printed other things: ${difference(stdout, reference.stdout)}`;
    }
    return undefined;
  }
  if (!reference || lenient) return undefined;
  // of the large program's run time, which may end as it likes
  if (status >= 128 && program === "large") return undefined;
  if (status >= 128) return `it ended by signal ${status - 128}: ${stderr.slice(-300)}`;
  const said = stderr || stdout;
  if (!/veneer|OCI runtime|runc|lxc|strace/.test(said))
    return `${name}: status ${status} without a word of veneer's: '${said.slice(-300)}'`;
  return undefined;
}

/** Times and process numbers differ from run to run. */
const stableText = (text: string) =>
  text
    .replace(/[0-9]{4}-[0-9-]{5}T[0-9:.]+Z/g, "TIME")
    .replace(/\b[0-9a-f]{12,}\b/g, "ID")
    .replace(/[0-9]+(\.[0-9]+)?/g, "N")
    .replace(/ +/g, " ");

function difference(one: string, other: string): string {
  const others = new Set(stableText(other).split("\n"));
  const only = one.split("\n").filter((line) => !others.has(stableText(line)));
  return only.length > 0 ? only.slice(0, 3).join(" | ") : `only ${one.split("\n").length} lines`;
}

/** gc, the operation and a start succeed; data, roots and everything else are as they must be. */
async function mustBeInOrder(world: World, operation: Operation): Promise<void> {
  ageTemporaries(world.host);
  succeeds("gc", await world.veneer("gc"));
  if (operation.bases) await verifyAll(world);
  if (!operation.prepare || operation.done) await repeats(world, operation);
  await startsRight(world);
  await operation.finish?.(world);
  await mustBeEmpty(world);
}

export function succeeds(what: string, outcome: Outcome): void {
  if (outcome.status !== 0) throw new Error(`${what}: ${describe(outcome)}`);
}

async function repeats(world: World, operation: Operation): Promise<void> {
  const outcome = await start(world, await operation.call(world, []));
  if (outcome.status !== 0) {
    if (operation.done?.test(outcome.stderr)) return;
    throw new Error(`again: ${describe(outcome)}`);
  }
  const wrong = await judge(world, operation, outcome);
  if (wrong) throw new Error(`again: ${wrong}`);
}

export async function verifyAll(world: World): Promise<void> {
  for (const { name } of JSON.parse(await world.ok("base", "ls", "--json"))) {
    succeeds(`base verify ${name}`, await world.veneer("base", "verify", name));
  }
}

/** A container on the instance `kept`: on the version that it says, with what it wrote. */
export async function startsRight(world: World): Promise<void> {
  const file = join(world.host.root, "instances/kept/instance.json");
  const { version } = JSON.parse(readFileSync(file, "utf8"));
  const script = "cat /etc/version; sha256sum </srv-data";
  const outcome = await world.veneer("run", "b", "--name", "kept", "--", "sh", "-c", script);
  succeeds("a start on kept", outcome);
  const [shown, digest] = outcome.stdout.split("\n");
  if (shown !== String(version)) throw new Error(`kept is on ${version} and runs on ${shown}`);
  if (!digest?.startsWith(world.digest)) throw new Error(`kept has other data: ${digest}`);
}

/** What a trial may leave: its instances, its bases, and what they hold. */
export async function mustBeEmpty(world: World): Promise<void> {
  const { host } = world;
  const found = () => [
    ...leftovers(host).filter((path) => !/^(store\/instances|run\/held)\//.test(path)),
    ...strayLayers(world),
    ...(existsSync(join(host.run, "moving")) ? readdirSync(join(host.run, "moving")) : []).map(
      (name) => `moving/${name}`,
    ),
    ...world.left(),
  ];
  // what is deleted in the background goes by itself; the rest is gc's
  const isEmpty = async (limit: number) => {
    await waitFor(() => found().length === 0, limit).catch(() => undefined);
    return found().length === 0;
  };
  if (await isEmpty(1000)) return;
  ageTemporaries(world.host);
  succeeds("gc at the end", await world.veneer("gc"));
  if (!(await isEmpty(60_000))) throw new Error(`left: ${found().join(", ")}`);
}

/** Layers that no version needs. */
function strayLayers({ host }: World): string[] {
  const bases = join(host.root, "bases");
  const needed = readdirSync(bases).flatMap((name) => {
    const versions = join(bases, name, "versions");
    if (!existsSync(versions)) return [];
    return readdirSync(versions)
      .filter((file) => file.endsWith(".json"))
      .flatMap((file) => JSON.parse(readFileSync(join(versions, file), "utf8")).layers)
      .flatMap(({ id }: { id?: string }) => id ?? []);
  });
  const here = existsSync(join(host.root, "layers")) ? readdirSync(join(host.root, "layers")) : [];
  return here.filter((id) => !needed.includes(id)).map((id) => `layer ${id}`);
}

/** The number of a point, which stays the same as long as the program makes the same calls. */
export const numberOf = (operation: Operation, { text, call, when }: Point, kind: Kind) =>
  Number.parseInt(
    createHash("sha256")
      .update(`${operation.name} ${call} ${when} ${text.split("(")[0]} ${kind}`)
      .digest("hex")
      .slice(0, 8),
    16,
  );
