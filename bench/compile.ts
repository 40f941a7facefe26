/** Compiles what the benchmark needs into a directory that goes with it. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";

/** Why a part of the benchmark cannot run on this machine. */
export class CannotRun extends Error {}

let directory: string | undefined;

/** A directory of this run; removed at its end. */
export function scratch(): string {
  if (directory === undefined) {
    const made = mkdtempSync(join(tmpdir(), "veneer-bench-"));
    directory = made;
    process.on("exit", () => rmSync(made, { recursive: true, force: true }));
  }
  return directory;
}

/** Compiles a C file of this directory; returns the program's path. Throws when there is no compiler. */
export function compileC(file: string, ...flags: readonly string[]): string {
  const program = join(scratch(), basename(file, ".c"));
  const source = join(import.meta.dirname, file);
  try {
    execFileSync("cc", ["-O2", "-Wall", ...flags, "-o", program, source], {
      stdio: ["ignore", "ignore", "pipe"],
    });
  } catch (error) {
    throw new CannotRun(`compile ${file}: ${String(error)}; hint: apt-get install gcc libc6-dev`);
  }
  return program;
}

/** As scripts/build.mjs has them, as far as they matter here. */
const FLAGS = [
  "--compile",
  "--no-compile-autoload-bunfig",
  "--no-compile-autoload-dotenv",
  "--no-compile-autoload-tsconfig",
  "--no-compile-autoload-package-json",
  "--minify",
  "--bytecode",
  "--format=esm",
  "--compile-jit-policy=1000",
];

let emptyProgram: string | undefined;

/** What every compiled program costs before it does anything. */
export function compileEmptyProgram(): string {
  if (emptyProgram !== undefined) return emptyProgram;
  const program = join(scratch(), "empty");
  writeFileSync(`${program}.js`, "");
  // the driver itself runs on the compiler
  const args = ["build", ...FLAGS, `${program}.js`, "--outfile", program];
  execFileSync(process.execPath, args, { stdio: "ignore" });
  emptyProgram = program;
  return program;
}
