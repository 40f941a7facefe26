/** The table of engines, systems and features, made of reports: what got worse is named. */
import { execFileSync, spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, it } from "vitest";

const project = join(import.meta.dirname, "../../..");
const dir = mkdtempSync(join(tmpdir(), "veneer-matrix-"));
afterAll(() => rmSync(dir, { recursive: true }));
const page = join(dir, "page.md");
const results = join(dir, "trixie/var/lib/veneer-results");
mkdirSync(results, { recursive: true });
mkdirSync(join(dir, "kernels/results"), { recursive: true });
cpSync(join(project, "docs/compatibility.md"), page);
const env = { PATH: process.env.PATH, VENEER_SUITES: dir, VENEER_KERNELS: join(dir, "kernels") };

function matrix(...words: string[]) {
  const all = [join(project, "scripts/matrix.mjs"), "--page", page, ...words];
  return spawnSync("node", all, { encoding: "utf8", env });
}

function report(
  path: string,
  file: string,
  tests: readonly (readonly [name: string, status: string])[],
): void {
  const assertionResults = tests.map(([fullName, status]) => ({ fullName, status }));
  const testResults = [{ name: `/veneer/${file}`, status: "passed", assertionResults }];
  writeFileSync(path, JSON.stringify({ testResults }));
}

const cell = (engine: string, feature: string, system: string) => {
  const rows = readFileSync(page, "utf8")
    .split("\n")
    .map((line) => line.split("|").map((one) => one.trim()));
  const head = rows.find((row) => row[1] === "engine");
  return rows.find((row) => row[1] === engine && row[2] === feature)?.[head?.indexOf(system) ?? -1];
};

it("takes new results, keeps the other cells, and has versions and date of a column", () => {
  report(join(results, "results.json"), "test/e2e/docker.test.ts", [["docker run gives", "passed"]]);
  writeFileSync(
    join(results, "versions"),
    "runc: runc version 1.9.9\npodman: not installed\nkernel: 6.18.1\n",
  );
  expect(matrix()).toMatchObject({ status: 0, stdout: "1 results, 0 got worse\n" });
  expect(cell("Docker", "containers", "Debian 13, host's kernel")).toBe("works");
  expect(cell("LXC", "hook", "Debian 13, host's kernel")).toBe("works");
  const date = execFileSync("date", ["-u", "-r", join(results, "results.json"), "+%F"], {
    encoding: "utf8",
  }).trim();
  expect(readFileSync(page, "utf8")).toContain(
    `| Debian 13, host's kernel | ${date} | runc 1.9.9, Linux 6.18.1 |`,
  );
});

it("names what got worse and fails, a file that could not be loaded too", () => {
  const before = readFileSync(page, "utf8");
  report(join(results, "results.json"), "test/e2e/docker.test.ts", [["docker run gives", "failed"]]);
  const { status, stdout } = matrix("--check");
  expect([status, stdout]).toEqual([
    1,
    "1 results, 1 got worse\nworse: Docker: containers on Debian 13, host's kernel: works → FAILED\n",
  ]);
  expect(readFileSync(page, "utf8")).toBe(before);
});

it("knows a kernel by the name of its report", () => {
  rmSync(join(results, "results.json"));
  const file = join(dir, "kernels/results/6.1.0-50-cloud-amd64-v2.json");
  report(file, "test/e2e/run.test.ts", [["run with crun shows the base", "passed"]]);
  expect(matrix().status).toBe(0);
  expect(cell("veneer", "run with crun", "Debian 12, Linux 6.1")).toBe("works");
});
