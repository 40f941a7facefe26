import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";

const PROJECT = join(fileURLToPath(import.meta.url), "../../..");
const read = (file: string) => readFileSync(join(PROJECT, file), "utf8");
const ROW = /^\| .* \| (\d+) ?(MiB|ms|) \| `([A-Z_]+)` in (src\/\S+) \|$/gm;

/** A number as the code has it: `8 * 1024 * 1024`, `1 << 20`, `15_000`. */
function numberOf(text: string): number {
  const numbers = (separator: string | RegExp) => text.replaceAll("_", "").split(separator).map(Number);
  if (text.includes("<<")) {
    const [base = 0, bits = 0] = numbers("<<");
    return base * 2 ** bits;
  }
  return numbers("*").reduce((product, one) => product * one, 1);
}

it("limits in docs/limits.md are those of the code", () => {
  const rows = [...read("docs/limits.md").matchAll(ROW)];
  expect(rows.length).toBeGreaterThan(10);
  for (const [, number, unit, name, file = ""] of rows) {
    const value = new RegExp(`const ${name} = ([^;]+);`).exec(read(file))?.[1];
    expect(value && numberOf(value), `${name} in ${file}`).toBe(
      Number(number) * (unit === "MiB" ? 2 ** 20 : 1),
    );
  }
});
