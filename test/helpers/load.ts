/** A container at work: a web server under load, two logs and a database, each of which notices what gets lost. */
import { type ChildProcess, spawn } from "node:child_process";
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { must, PROJECT } from "./host.ts";
import { makeTree } from "./tree.ts";
import { waitFor } from "./wait.ts";

const PORT = "8080";

/** A tree that runs {@link LOAD_COMMAND}; what it serves says which version it is. */
export async function makeLoadTree(dir: string, version: number): Promise<string> {
  makeTree(dir);
  writeFileSync(join(dir, "etc/version"), `version ${version}\n`);
  mkdirSync(join(dir, "var/log"));
  for (const file of await programFiles("/usr/bin/sqlite3")) {
    mkdirSync(dirname(join(dir, file)), { recursive: true });
    copyFileSync(file, join(dir, file));
  }
  return dir;
}

/** A program and the libraries that it needs, by the paths at which it looks for them. */
async function programFiles(program: string): Promise<string[]> {
  const libraries = await must("ldd", [program]);
  return [program, ...[...libraries.matchAll(/(?:=> )?(\/\S+) \(0x/g)].map((match) => match[1] as string)];
}

/**
 * Process 1 of the container. /run must be a tmpfs: a file `stop` in it ends all. Each line and each transaction
 * has the next number; /run has the numbers that were acknowledged.
 */
export const LOAD_COMMAND = `
httpd -p 127.0.0.1:${PORT} -h /
(
  n=0
  exec 3>>/var/log/held
  while [ ! -e /run/stop ]; do n=$((n+1)); echo "line $n" >&3 || echo "held $n" >>/run/errors; sleep 0.01; done
  echo $n >/run/held
) &
(
  n=0
  while [ ! -e /run/stop ]; do n=$((n+1)); echo "line $n" >>/var/log/reopened || echo "reopened $n" >>/run/errors; sleep 0.01; done
  echo $n >/run/reopened
) &
(
  n=0
  sqlite3 /var/lib/load.db 'create table line (n integer primary key); create table total (count integer); insert into total values (0)'
  while [ ! -e /run/stop ]; do
    n=$((n+1))
    sqlite3 -bail /var/lib/load.db "begin; insert into line values ($n); update total set count = count + 1; commit" 2>>/run/errors || echo "database $n" >>/run/errors
    sleep 0.01
  done
  echo $n >/run/database
) &
wait
while :; do sleep 1; done
`;

export interface LoadReport {
  readonly requests: number;
  readonly failures: readonly string[];
  /** milliseconds that the slowest request took */
  readonly slowest: number;
  /** answers by their text */
  readonly bodies: Readonly<Record<string, number>>;
}

export interface LoadClient {
  /** Ends the load and tells what it has seen. */
  stop(): Promise<LoadReport>;
  kill(): void;
}

/** Asks the container's web server, from inside its network namespace, until it is stopped. */
export async function startClient(pid: number): Promise<LoadClient> {
  const client = join(PROJECT, "test/helpers/load-client.mjs");
  const words = [
    "-t",
    String(pid),
    "-n",
    process.execPath,
    client,
    PORT,
    ...Array(5).fill("/etc/version"),
    "/bin/busybox",
  ];
  const child: ChildProcess = spawn("nsenter", words, { stdio: ["ignore", "pipe", "inherit"] });
  let text = "";
  child.stdout?.setEncoding("utf8").on("data", (chunk) => {
    text += chunk;
  });
  const ended = new Promise<void>((resolve) => child.once("close", () => resolve()));
  await waitFor(() => text.startsWith("begun\n"));
  return {
    async stop() {
      child.kill("SIGTERM");
      await ended;
      return JSON.parse(text.slice("begun\n".length));
    },
    kill: () => child.kill("SIGKILL"),
  };
}

/** Ends the container's own work; its root is `root`. Returns how far each part of it came. */
export async function endWork(root: string): Promise<Record<"held" | "reopened" | "database", number>> {
  writeFileSync(join(root, "run/stop"), "");
  const read = (name: string) => Number(readMaybe(join(root, "run", name)));
  await waitFor(() => ["held", "reopened", "database"].every((name) => read(name) > 0), 30_000);
  return { held: read("held"), reopened: read("reopened"), database: read("database") };
}

export function readMaybe(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}

/** What is wrong with a log whose lines have the numbers 1 to `last`: lost, twice or out of order. */
export function faultsOf(text: string, last: number): string[] {
  const lines = text.split("\n");
  if (lines.pop() !== "") return ["the last line is not whole"];
  const faults = lines.flatMap((line, index) =>
    line === `line ${index + 1}` ? [] : [`line ${index + 1} is '${line}'`],
  );
  if (lines.length !== last) faults.push(`${lines.length} lines of ${last}`);
  return faults.slice(0, 5);
}

/** Resident memory of a process and all its descendants, in kB, by pid. */
export async function residentMemory(pid: number): Promise<Map<number, number>> {
  const rows = (await must("ps", ["-eo", "pid=,ppid=,rss="])).trim().split("\n");
  const all = rows.map((row) => row.trim().split(/\s+/).map(Number) as [number, number, number]);
  const found = new Map<number, number>();
  const visit = (of: number) => {
    for (const [own, parent, rss] of all) {
      if (own === of) found.set(own, rss);
      else if (parent === of) visit(own);
    }
  };
  visit(pid);
  return found;
}

/** What the processes that were there at both times have grown by, in kB. */
export function growth(before: ReadonlyMap<number, number>, after: ReadonlyMap<number, number>): number {
  return [...before].reduce(
    (sum, [pid, rss]) => sum + (after.has(pid) ? (after.get(pid) as number) - rss : 0),
    0,
  );
}
