/** What starting a program costs before it does anything, by what the program is made with. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { compileEmptyProgram } from "./compile.ts";
import { PATH, type Setting, VENEER } from "./context.ts";
import { inputFile, interleave } from "./measure.ts";
import { compare, type Report } from "./table.ts";

export async function benchStartup(setting: Setting, runs: number): Promise<Report> {
  const source = join(setting.dir, "empty.js");
  const program = compileEmptyProgram();
  writeFileSync(source, "");
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
        "a hook that has nothing to do, against an empty program compiled by Bun",
        results,
        "veneer hook, nothing to do",
        against,
      ),
      compare(
        "a hook that has nothing to do, against runc --version",
        results,
        "veneer hook, nothing to do",
        "runc --version",
        0.4,
      ),
    ],
    results,
  };
}
