/** A word of a line for sh(1), in quotes where it needs them. */
export function shellWord(word: string): string {
  return /^[A-Za-z0-9_+./@=,:-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}
