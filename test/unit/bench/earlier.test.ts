import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { readEarlier, slowerThan } from "../../../bench/earlier.ts";
import { summarize } from "../../../bench/measure.ts";
import { compare, isOurs, type Report, verdict } from "../../../bench/table.ts";

const RUNS = [10, 10.5, 11, 11.5, 12, 30];

/** A part in which ours and a yardstick take so many times as long as RUNS. */
function report(ours: number, yardstick: number): Report {
  const result = (name: string, factor: number) =>
    summarize(
      name,
      RUNS.map((time) => time * factor),
    );
  return { title: "Part", rows: [], results: [result("veneer run", ours), result("runc run", yardstick)] };
}

describe("what got slower", () => {
  it("is what takes longer than the noise, with by how much", () => {
    expect(slowerThan([report(1, 1)], [report(1.5, 1)])).toEqual([
      "Part: veneer run: 1.50 × of before (11.3 ms then)",
    ]);
  });

  it("is nothing where the same runs differ by less than they do among each other", () => {
    expect(slowerThan([report(1, 1)], [report(1.05, 1)])).toEqual([]);
  });

  it("is nothing where the machine as a whole got slower", () => {
    expect(slowerThan([report(1, 1)], [report(2, 2)])).toEqual([]);
  });

  it("is seen where the machine got faster and ours did not", () => {
    expect(slowerThan([report(1, 2)], [report(1, 1)])).toHaveLength(1);
  });

  it("is seen in a part that has no yardstick", () => {
    const alone = (factor: number) => ({
      ...report(factor, 1),
      results: report(factor, 1).results.slice(0, 1),
    });
    expect(slowerThan([alone(1)], [alone(1.5)])).toHaveLength(1);
  });

  it("is nothing where a part or a contender is new, or ran too few times", () => {
    expect(slowerThan([], [report(9, 1)])).toEqual([]);
    const once = { ...report(1, 1), results: [summarize("veneer run", [1])] };
    expect(slowerThan([once], [report(9, 1)])).toEqual([]);
  });
});

describe("an earlier report", () => {
  let dir = "";
  beforeAll(() => {
    dir = mkdtempSync(join(tmpdir(), "earlier-"));
  });
  afterAll(() => rmSync(dir, { recursive: true }));

  const read = (text: string) => {
    const file = join(dir, "file.json");
    writeFileSync(file, text);
    return readEarlier(file);
  };

  it("is read as it was printed", () => {
    expect(read(JSON.stringify([report(1, 1)]))).toEqual([report(1, 1)]);
  });

  it.each(['[{"a":1}]', "{}", "null", "[null]", '[{"title":"x","results":[{"name":"y"}]}]'])(
    "is not %s",
    (text) => {
      expect(() => read(text)).toThrow("it is not what 'npm run -s bench -- --json' prints");
    },
  );
});

describe("a comparison", () => {
  it("is broken where one of the two has no result", () => {
    const { results } = report(1, 1);
    const row = compare("what", results, "veneer run", "crun run", 1);
    expect([row.failed, verdict(row)]).toEqual(["no result of crun run", "FAIL"]);
  });
});

describe("a contender", () => {
  it("is ours when its name says so, not because it is a hook", () => {
    const results = ["runc run, veneer as hook", "runc run, C hook"].map((name) => summarize(name, [1]));
    expect(results.map(({ name }) => isOurs({ results }, name))).toEqual([true, false]);
  });

  it("is ours where all of a part are", () => {
    const results = [summarize("a base of 10 layers", [1])];
    expect(isOurs({ results }, "a base of 10 layers")).toBe(true);
  });
});
