/** The hook at createRuntime as a whole process: against runc's own start, C and shell. */
import { execFileSync, spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { compileC } from "../compile.ts";
import { emptyStore, has, PATH, type Setting, VENEER } from "../context.ts";
import { type Contender, interleave, type Result } from "../measure.ts";
import { compare, type Report, type Row } from "../table.ts";
import { type Holder, makeHolderBundle, startHolder } from "./holder.ts";

const GOALS = { "runc --version": 1.0, "C program": 1.8, "shell hook": 0.35 } as const;

export async function benchHook(setting: Setting, runs: number): Promise<Report> {
  const bundle = join(setting.dir, "hook-bundle");
  mkdirSync(bundle);
  execFileSync("runc", ["spec"], { cwd: bundle });
  makeHolderBundle(bundle);
  const stdin = join(bundle, "state.json");
  let holder: Holder | undefined;
  const scene = {
    stdin,
    env: { PATH },
    async before() {
      holder = await startHolder(bundle);
      writeFileSync(stdin, state(holder.pid, bundle));
    },
    async after() {
      const covered = holder !== undefined && isCovered(holder.pid, join(bundle, "rootfs"));
      await holder?.end();
      emptyStore(setting);
      if (!covered) throw new Error("a hook of the benchmark left the root as it was");
    },
  };
  const { root, run, options } = setting;
  const contenders: Contender[] = [
    { name: "veneer hook oci", command: [VENEER, ...options, "hook", "oci", "--base", "bench"], ...scene },
    { name: "runc --version", command: ["runc", "--version"], env: { PATH } },
    { name: "C program", command: [compileC("hook/hook.c"), root, run, "bench"], ...scene },
  ];
  const rows: Row[] = [];
  const missing = ["jq", "nsenter", "setfattr", "findmnt"].filter((program) => !has(program));
  if (missing.length === 0) {
    const script = join(import.meta.dirname, "hook.sh");
    contenders.push({ name: "shell hook", command: ["sh", script, root, run, "bench"], ...scene });
  }
  const results = await interleave(contenders, runs);
  for (const against of ["runc --version", "C program", "shell hook"] as const) {
    const what = `hook at createRuntime, whole process, against ${against}`;
    const row = compare(what, results, "veneer hook oci", against, GOALS[against]);
    if (against !== "shell hook" || missing.length === 0) rows.push(row);
    else rows.push({ what, goal: GOALS[against], skipped: `not installed: ${missing.join(", ")}` });
  }
  rows.push(memory(results));
  const calls = [await countCalls(contenders[0] as Contender), await countCalls(contenders[2] as Contender)];
  const notes = calls.includes(undefined)
    ? ["system calls were not counted: strace is not installed"]
    : [`system calls of the hook: ${calls[0]}, of the C program, with its dynamic linker: ${calls[1]}`];
  return { title: "OCI hook", rows, results, notes };
}

/** Of the hook. */
function memory(results: readonly Result[]): Row {
  const kilobytes = results.find(({ name }) => name === "veneer hook oci")?.memory ?? Number.NaN;
  return { what: "resident memory of the hook at most", ratio: kilobytes / 1024, unit: "MB", goal: 4 };
}

/** From its start to its end; undefined without strace. */
async function countCalls(contender: Contender): Promise<number | undefined> {
  if (!has("strace")) return undefined;
  await contender.before?.();
  try {
    const [file, ...args] = contender.command as readonly string[];
    const state = readFileSync(contender.stdin as string);
    const options = { input: state, env: { ...contender.env }, encoding: "utf8" } as const;
    const { stderr } = spawnSync("strace", ["-f", file as string, ...args], options);
    return stderr.split("\n").filter((line) => /^(\[pid +[0-9]+\] )?[a-z_0-9]+\(/.test(line)).length;
  } finally {
    await contender.after?.();
  }
}

function state(pid: number, bundle: string): string {
  const annotations = { "io.kubernetes.pod.name": "web", "org.opencontainers.image.created": "2026-01-01" };
  return JSON.stringify({ ociVersion: "1.0.2", id: "bench", status: "creating", pid, bundle, annotations });
}

/** Whether the root is an overlay with the runtime's mounts on it. */
function isCovered(pid: number, root: string): boolean {
  const lines = readFileSync(`/proc/${pid}/mountinfo`, "utf8").split("\n");
  const over = lines.find((line) => line.includes(` ${root} `) && line.includes(" - overlay "));
  const id = over?.split(" ")[0];
  const children = lines.filter((line) => line.split(" ")[1] === id).map((line) => line.split(" ")[4]);
  return ["proc", "dev", "sys", "etc/hosts"].every((path) => children.includes(`${root}/${path}`));
}
