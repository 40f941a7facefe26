/** A host with a store that is put back before each trial: every trial begins with the same files. */
import { spawn, spawnSync } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import {
  chmodSync,
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { constants } from "node:os";
import { join } from "node:path";
import { makeBundle } from "../../test/helpers/bundle.ts";
import {
  type Host,
  makeHost,
  must,
  type Outcome,
  PROGRAM,
  PROJECT,
  sh,
  storeOptions,
} from "../../test/helpers/host.ts";
import { addImage, tarOf } from "../../test/helpers/image.ts";
import { makeTree } from "../../test/helpers/tree.ts";
import { openTo } from "../../test/helpers/userns.ts";
import { storeArguments } from "../../test/helpers/wrapper.ts";

/** Set in every process that a world starts: what is left of them is found by it. */
const MARK = "VENEER_TORTURE";

export interface World {
  readonly host: Host;
  readonly dir: string;
  /** where its file system is mounted */
  readonly memory: string;
  /** of the small tree, of which the bases are made */
  readonly tree: string;
  readonly image: string;
  /** SHA-256 of what the instance `kept` wrote once */
  readonly digest: string;
  /** veneer's words before the verb */
  readonly words: readonly string[];
  /** those of the wrapping runtime before the command */
  readonly wrapper: readonly string[];
  veneer(...args: string[]): Promise<Outcome>;
  ok(...args: string[]): Promise<string>;
  /** Runs any program on this host. */
  run(file: string, args: readonly string[], options?: RunOptions): Promise<Outcome>;
  /** Kills what runs and unmounts what is mounted. */
  end(): Promise<void>;
  /** Puts everything back; what the last trial left mounted or running is ended. */
  reset(): Promise<void>;
  /** Mount points and processes that are there now and were not before. */
  left(): string[];
  remove(): Promise<void>;
}

export interface RunOptions {
  readonly input?: string;
  readonly cwd?: string;
  /** seconds before it counts as hanging */
  readonly limit?: number;
}

/** Status of a command that did not end in time. */
export const HUNG = 124;

export interface WorldOptions {
  /** makes the file system that the world is on; a tmpfs without */
  readonly mount?: (directory: string) => Promise<unknown>;
}

export async function makeWorld(name: string, options: WorldOptions = {}): Promise<World> {
  const memory = mkdtempSync(`/tmp/veneer-torture-${name}-`);
  const output = mkdtempSync(`/tmp/veneer-torture-output-`);
  await (options.mount ?? mountMemory)(memory);
  alive.set(memory, output);
  const host = makeHost(memory);
  const { dir } = host;
  openTo(host);
  const tree = smallTree(join(dir, "tree"), "1");
  smallTree(join(dir, "tree2"), "2");
  const config = join(dir, "config/veneer.json");
  mkdirSync(join(dir, "config/bases.d"), { recursive: true });
  writeFileSync(config, JSON.stringify({ log: join(dir, "log") }));
  const source = { directory: join(dir, "tree2") };
  writeFileSync(join(dir, "config/bases.d/line.json"), JSON.stringify({ source }));
  const image = addImage(join(dir, "image"), "1", [
    tarOf([
      { name: "./", type: "5" },
      { name: "etc/", type: "5" },
      { name: "etc/version", data: "9\n" },
      { name: "a", data: "a" },
    ]),
    tarOf([{ name: "b", data: "b" }, { name: ".wh.a" }]),
  ]);
  const words = ["--config", config, ...storeOptions(host)];
  const data = randomBytes(65_536);
  const run = async (
    file: string,
    args: readonly string[],
    { input, cwd = dir, limit = 90 }: RunOptions = {},
  ) => {
    // to files: what stays in the background may keep its output open
    const files = ["in", "out", "err"].map((name) => join(output, `${++commands}-${name}`));
    const [stdin = "", stdout = "", stderr = ""] = files;
    writeFileSync(stdin, input ?? "");
    const open = [openSync(stdin, "r"), openSync(stdout, "w"), openSync(stderr, "w")];
    const child = spawn("timeout", ["-k", "1", String(limit), file, ...args], {
      env: { PATH: host.path, [MARK]: memory },
      cwd,
      stdio: open as [number, number, number],
    });
    for (const descriptor of open) closeSync(descriptor);
    const status = await new Promise<number>((resolve, reject) => {
      child.once("error", reject);
      child.once("exit", (code, signal) =>
        resolve(code ?? 128 + (constants.signals[signal ?? "SIGKILL"] ?? 0)),
      );
    });
    const [out = "", err = ""] = [stdout, stderr].map((path) => readFileSync(path, "utf8").trimEnd());
    for (const path of files) rmSync(path);
    return { status, stdout: out, stderr: err };
  };
  const veneer = (...args: string[]) => run(PROGRAM, [...words, ...args]);
  const ok = async (...args: string[]) => {
    const { status, stdout, stderr } = await veneer(...args);
    if (status !== 0) throw new Error(`veneer ${args.join(" ")}: status ${status}: ${stderr || stdout}`);
    return stdout;
  };
  const world: World = {
    host,
    dir,
    memory,
    tree,
    image,
    digest: createHash("sha256").update(data).digest("hex"),
    words,
    wrapper: [...storeArguments(host, config), "--root", join(dir, "state")],
    veneer,
    ok,
    run,
    end: () => endAll(world, memory),
    async reset() {
      await endAll(world, memory);
      for (const place of ["store", "run", "state", "lxc", "work"])
        rmSync(join(dir, place), { recursive: true, force: true });
      for (const place of ["store", "run", "lxc"])
        await must("cp", ["-a", join(dir, `template-${place}`), join(dir, place)]);
      mkdirSync(join(dir, "work"));
    },
    left: () => [...mountsBelow(dir), ...processesOf(memory)],
    async remove() {
      await endAll(world, memory);
      await must("umount", ["-l", memory]);
      alive.delete(memory);
      for (const path of [memory, output]) rmSync(path, { recursive: true });
    },
  };
  await furnish(world, data);
  for (const place of ["store", "run", "lxc"]) {
    mkdirSync(join(dir, place), { recursive: true });
    await must("cp", ["-a", join(dir, place), join(dir, `template-${place}`)]);
  }
  return world;
}

let commands = 0;

/** Directories of worlds by their file systems: a run that is interrupted leaves none of them. */
const alive = new Map<string, string>();
process.on("exit", () => {
  for (const [memory, output] of alive) {
    spawnSync("umount", ["-l", memory]);
    for (const path of [memory, output]) rmSync(path, { recursive: true, force: true });
  }
});

const mountMemory = (directory: string) =>
  must("mount", ["-t", "tmpfs", "-o", "size=1g,nr_inodes=1m,mode=755", "torture", directory]);

/** What every trial finds: see the names of the bases and instances. */
async function furnish({ ok, dir, tree, host }: World, data: Uint8Array): Promise<void> {
  await ok("base", "import", "b", tree);
  await ok("base", "import", "b", join(dir, "tree2"));
  await ok("base", "import", "line", tree);
  for (let version = 0; version < 2; version++)
    await ok("base", "import", "old", tree, "--in-place", "--always");
  for (const id of ["kept", "web"]) await ok("create", id, "b@1");
  const root = await ok("mount", "kept");
  writeFileSync(join(root, "srv-data"), data);
  await ok("umount", "kept");
  await must("sync", ["-f", host.root]);
}

/** A tree that runs and tells its version. */
function smallTree(dir: string, version: string): string {
  makeTree(dir);
  writeFileSync(join(dir, "etc/version"), `${version}\n`);
  return dir;
}

/** A bundle of the world's, without annotations or hooks; returns its directory. */
export function bundleOf(world: World, edit: Parameters<typeof makeBundle>[2]): string {
  const directory = mkdtempSync(join(world.dir, "work/bundle-"));
  // the ids of a user namespace have to get to its root
  chmodSync(directory, 0o711);
  return makeBundle(directory, "cat /etc/version", edit);
}

function mountsBelow(dir: string): string[] {
  return readFileSync("/proc/self/mountinfo", "utf8")
    .split("\n")
    .flatMap((line) => (line.split(" ")[4]?.startsWith(`${dir}/`) ? [`mount ${line.split(" ")[4]}`] : []));
}

/** Processes that were started with the mark, and those whose root is an overlay of the world's, as in containers. */
function processesOf(memory: string): string[] {
  const own = readlinkSync("/proc/self/ns/mnt");
  const namespaces = new Map<string, boolean>([[own, false]]);
  const shows = (pid: string) => {
    const namespace = readlinkSync(`/proc/${pid}/ns/mnt`);
    const known = namespaces.get(namespace);
    if (known !== undefined) return known;
    if (namespace === "") return false;
    const lines = readFileSync(`/proc/${pid}/mountinfo`, "latin1").split("\n");
    const found = lines.some((line) => line.split(" ")[4] === "/" && line.includes(memory));
    namespaces.set(namespace, found);
    return found;
  };
  return readdirSync("/proc").flatMap((pid) => {
    if (!/^[0-9]+$/.test(pid) || Number(pid) === process.pid) return [];
    try {
      const state = readFileSync(`/proc/${pid}/stat`, "latin1").split(") ").at(-1)?.[0];
      if (state === "Z" || state === "X") return [];
      // first: the memory of a hostile container's process may be locked for whoever reads its environment
      if (shows(pid))
        return [`process ${pid} ${readFileSync(`/proc/${pid}/comm`, "latin1").trim()} in a container`];
      if (!readFileSync(`/proc/${pid}/environ`, "latin1").includes(`${MARK}=${memory}`)) return [];
      return [
        `process ${pid} ${readFileSync(`/proc/${pid}/cmdline`, "latin1").replaceAll("\0", " ").trim()}`,
      ];
    } catch {
      return []; // it has ended meanwhile
    }
  });
}

/** None where the disk has lost its power. */
function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}

async function endAll(world: World, memory: string): Promise<void> {
  // those of the wrapping runtime, and of veneer run
  for (const state of [join(world.dir, "state"), join(world.host.run, "runc")]) {
    for (const id of namesIn(state)) {
      if (existsSync(join(state, id, "state.json")))
        await sh("runc", ["--root", state, "delete", "--force", id]);
    }
  }
  for (let round = 0; round < 50; round++) {
    const pids = processesOf(memory).map((line) => Number(line.split(" ")[1]));
    if (pids.length === 0) break;
    for (const pid of pids) {
      try {
        process.kill(pid, "SIGKILL");
      } catch {
        // it has ended meanwhile
      }
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  for (const line of mountsBelow(world.dir).reverse())
    await sh("umount", ["-l", line.slice("mount ".length)]);
}

export const distOf = (name: string) => join(PROJECT, "dist", name);
