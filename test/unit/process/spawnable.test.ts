/** Proved by programs that get the words: printf writes what it was given. */
import { execFileSync } from "node:child_process";
import { describe, expect, it } from "vitest";
import { spawnable } from "../../../src/process/spawnable.ts";
import { decodeName } from "../../../src/text/file-names.ts";

const bytesOf = (...words: string[]): Buffer => {
  const [file, ...args] = spawnable(["/usr/bin/printf", "%s|", ...words]);
  return execFileSync(file as string, args);
};

describe("a command line for programs that take text", () => {
  it("is the same where all words are UTF-8", () => {
    const words = ["/bin/echo", "ü", "𝄞", "it's", ""];
    expect(spawnable(words)).toEqual(words);
  });

  it("hands every byte on that no UTF-8 begins with or goes on with", () => {
    const bytes = Buffer.from(Array.from({ length: 128 }, (_, index) => 128 + index));
    expect(bytesOf(decodeName(bytes))).toEqual(Buffer.concat([bytes, Buffer.from("|")]));
  });

  it.each(["'", "''", "$(id)", "`id`", "a\nb\n", "\\", '"', "* ?", "", "-n", "ü"])(
    "leaves a shell nothing to read in %j",
    (text) => {
      const byte = decodeName(Buffer.from([0xff]));
      const expected = Buffer.concat([
        Buffer.from(`${text}|${text}`),
        Buffer.from([0xff]),
        Buffer.from(`${text}|`),
      ]);
      expect(bytesOf(text, text + byte + text)).toEqual(expected);
    },
  );

  it("keeps the digits after a byte", () => {
    expect(bytesOf(`${decodeName(Buffer.from([0x80]))}123`)).toEqual(
      Buffer.from([0x80, 0x31, 0x32, 0x33, 0x7c]),
    );
  });

  it("puts no process between: the program is the one that was started", () => {
    const [file, ...args] = spawnable(["/bin/sh", "-c", 'echo "$PPID"', decodeName(Buffer.from([0xff]))]);
    expect(Number(execFileSync(file as string, args).toString())).toBe(process.pid);
  });
});
