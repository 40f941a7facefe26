import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { ERROR_CODES } from "../../src/error-codes.ts";

const SOURCE = join(import.meta.dirname, "../../src");

/** The page for people; `npx vitest run -u test/unit/error-codes.test.ts` writes it. */
function page(): string {
  const rows = Object.entries(ERROR_CODES)
    .filter(([code]) => code !== "FAILED")
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([code, [cause, remedy]]) => `### ${code}\n\n${cause}\n\nWhat to do: ${remedy}\n`);
  return `# Errors

This page lists the codes at the end of error lines, with the cause of each and what to do. For example:

\`\`\`sh
veneer create web1 nosuch
# veneer: no base nosuch in /var/lib/veneer; hint: 'veneer base ls' lists the bases, … [NO_BASE]
\`\`\`

An error line says what failed, on which object, why, what to do (\`hint\`), and the code. In scripts, compare the code, not
the text. If a system call failed, the text has the name of its errno (such as \`ENOSPC\`), and there is a code only if
veneer knows more than the kernel says. Wrong usage ends with status 2 and has no code; every other error ends with
status 1.

${rows.join("\n")}`;
}

describe("the codes of errors", () => {
  it("are those of docs/errors.md", async () => {
    await expect(page()).toMatchFileSnapshot("../../docs/errors.md");
  });

  it("are all in use", () => {
    const text = readdirSync(SOURCE, { recursive: true, encoding: "utf8" })
      .filter((file) => file.endsWith(".ts") && file !== "error-codes.ts" && !file.startsWith("generated"))
      .map((file) => readFileSync(join(SOURCE, file), "utf8"))
      .join("\n");
    expect(Object.keys(ERROR_CODES).filter((code) => !text.includes(`"${code}"`))).toEqual([]);
  });
});
