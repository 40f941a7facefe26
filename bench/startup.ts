/** What starting a program costs before it does anything, by what the program is made with. */
import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { PATH, type Setting, VENEER } from "./context.ts";
import { inputFile, interleave } from "./measure.ts";
import { compare, type Report } from "./table.ts";

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

export async function benchStartup(setting: Setting, runs: number): Promise<Report> {
  const source = join(setting.dir, "empty.js");
  const program = join(setting.dir, "empty");
  writeFileSync(source, "");
  // the driver itself runs on the compiler
  execFileSync(process.execPath, ["build", ...FLAGS, source, "--outfile", program], { stdio: "ignore" });
  const env = { PATH: `${PATH}:${process.env.PATH ?? ""}` };
  // a container that names no base is left alone
  const state = JSON.stringify({ ociVersion: "1.0.2", id: "bench", status: "creating", pid: 1, bundle: "/" });
  const stdin = inputFile(setting.dir, "no-base.json", state);
  const contenders = [
    { name: "empty program, bun build --compile", command: [program], env },
    { name: "veneer hook, nothing to do", command: [VENEER, ...setting.options, "hook", "oci"], stdin, env },
    { name: "veneer --version", command: [VENEER, "--version"], env },
    { name: "empty file, node", command: ["node", source], env },
    { name: "node --version", command: ["node", "--version"], env },
    { name: "runc --version", command: ["runc", "--version"], env },
    { name: "true, C", command: ["/bin/true"], env },
  ];
  const results = await interleave(contenders, runs);
  const against = "empty program, bun build --compile";
  return {
    title: "Start-up",
    rows: [
      compare(
        "an empty file in Node.js, against an empty compiled program",
        results,
        "empty file, node",
        against,
      ),
      compare(
        "a hook that has nothing to do, against an empty compiled program",
        results,
        "veneer hook, nothing to do",
        against,
      ),
    ],
    results,
  };
}
