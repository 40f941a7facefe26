/** libFuzzer on the small program's C, with the address and undefined behaviour sanitizers. */
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { execa } from "execa";
import { PROJECT, sh } from "../../test/helpers/host.ts";
import { isChosen, type Setting } from "../part.ts";

const SEEDS = [
  '{"ociVersion":"1.0.2","root":{"path":"rootfs","readonly":true},"annotations":{"run.veneer.base":"debian@3"},"process":{"env":["VENEER_BASE=b"]}}',
  '{"a":[1,-2.5e3,true,null,"\\ud83d\\ude00\\n\\u0061"],"__proto__":{},"b":{"c":[[[]]]}}',
  '{"annotation\\u017f":{},"Annotations":1,"hooks":{"poststop":[{"path":"/x"}]}}',
  "caf\u00e9 \ud83d\ude00 \udcff",
];

/** Runs what takes its time: a compiler, a fuzzer. */
async function long(file: string, args: readonly string[], env: Record<string, string> = {}) {
  const { exitCode = 128, stderr } = await execa(file, args, { reject: false, stdin: "ignore", env });
  return { exitCode, stderr };
}

export async function fuzzCoverage(setting: Setting): Promise<void> {
  const { counts, quick } = setting;
  if (!isChosen(setting, "coverage")) return;
  if ((await sh("sh", ["-c", "command -v clang"])).status !== 0) {
    counts.note("coverage-guided fuzzing was not done: there is no clang");
    return;
  }
  const program = join(PROJECT, "build/fuzz-host");
  // compiling the engine with sanitizers takes minutes: not for every commit
  if (quick && !existsSync(program)) {
    counts.note("coverage-guided fuzzing was not done: build/fuzz-host is made by a run without --quick");
    return;
  }
  if (!quick) {
    const built = await long("node", [join(PROJECT, "torture/fuzz/build.mjs"), program]);
    if (built.exitCode !== 0) throw new Error(`clang: ${built.stderr.slice(-500)}`);
  }
  const seconds = Math.max(5, Math.floor((setting.deadline - Date.now()) / 1000));
  const dir = mkdtempSync("/tmp/veneer-torture-fuzz-");
  const corpus = join(dir, "corpus");
  mkdirSync(corpus);
  const kept = join(PROJECT, "build/fuzz-corpus");
  if (existsSync(kept)) cpSync(kept, corpus, { recursive: true });
  for (let kind = 0; kind < 6; kind++)
    for (const [index, text] of SEEDS.entries())
      writeFileSync(join(corpus, `seed-${kind}-${index}`), `${String.fromCharCode(kind)}${text}`);
  const words = [
    `-seed=${setting.seed % 2 ** 31}`,
    `-max_total_time=${seconds}`,
    "-timeout=20",
    "-rss_limit_mb=1500",
    "-max_len=4096",
  ];
  const options = ["-print_final_stats=1", `-artifact_prefix=${dir}/`, corpus];
  const { exitCode: status, stderr } = await long(
    "timeout",
    ["-k", "5", String(seconds + 120), program, ...words, ...options],
    { ASAN_OPTIONS: "detect_leaks=0:allocator_may_return_null=1", UBSAN_OPTIONS: "print_stacktrace=1" },
  );
  const stat = (name: string) => Number(new RegExp(`stat::${name}: +([0-9]+)`).exec(stderr)?.[1] ?? 0);
  counts.add("inputs of the C program, guided by coverage", stat("number_of_executed_units"));
  counts.most(
    "edges of the C program reached",
    Number([...stderr.matchAll(/ cov: ([0-9]+)/g)].at(-1)?.[1] ?? 0),
  );
  if (status !== 0) {
    const found = readdirSync(dir).filter((name) => /^(crash|timeout|oom|slow)-/.test(name));
    const kept = join(PROJECT, "build", found[0] ?? "fuzz.log");
    if (found[0]) cpSync(join(dir, found[0]), kept);
    const why =
      /(ERROR: [^\n]*|runtime error: [^\n]*|DIFFERENCE[^\n]*)/.exec(stderr)?.[0] ?? stderr.slice(-300);
    counts.fault(`the C program, status ${status}: ${why}`, `${program} ${kept}`);
    if (!found[0]) writeFileSync(kept, stderr);
  } else {
    rmSync(kept, { recursive: true, force: true });
    cpSync(corpus, kept, { recursive: true });
  }
  rmSync(dir, { recursive: true });
}
