/** Command lines for execa and node:child_process, which take text where the kernel takes bytes. */

/**
 * The command line, or one that means the same and is UTF-8: where a word holds other bytes (text/file-names.ts), a shell makes
 * them and becomes the program.
 */
export function spawnable(words: readonly string[]): readonly string[] {
  if (words.every((word) => word.isWellFormed())) return words;
  return ["/bin/sh", "-c", `exec ${words.map(shellWord).join(" ")}`];
}

function shellWord(word: string): string {
  const text = word.replaceAll("'", "'\\''");
  return `'${text.replace(/[\udc80-\udcff]/gu, (byte) => `'"$(printf '\\${octal(byte)}')"'`)}'`;
}

function octal(byte: string): string {
  return ((byte.codePointAt(0) as number) - 0xdc00).toString(8);
}
