/** Writes the words of a command into a systemd unit (systemd.service(5), "Command lines"). */
import { VeneerError } from "../errors.ts";

/** Joins the words. Throws BAD_PATH for a word that would need quoting. */
export function unitWords(words: readonly string[]): string {
  for (const word of words) {
    if (word === "" || /[\s"'\\%$;]/.test(word))
      throw new VeneerError("BAD_PATH", `${word} cannot stand in a unit of systemd`);
  }
  return words.join(" ");
}
