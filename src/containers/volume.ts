/** `-v SRC:DST[:ro]` */
import { UsageError } from "../errors.ts";
import { checkInnerPath } from "../text/names.ts";
import { quote } from "../text/quote.ts";

export interface Volume {
  /** absolute, on the host */
  readonly source: string;
  /** absolute, in the container */
  readonly destination: string;
  readonly readonly: boolean;
}

/** A backslash before a colon or a backslash makes it a part of a path. Throws UsageError. */
export function parseVolume(text: string, cwd: string): Volume {
  const parts = [...text.matchAll(/(?:^|:)((?:\\.|[^:\\])*\\?)/gs)].map(([, part]) =>
    (part as string).replace(/\\([:\\])/g, "$1"),
  );
  const [source = "", destination, option = "rw"] = parts;
  const wellFormed = parts.length <= 3 && source !== "" && destination !== undefined && !text.includes("\0");
  if (!wellFormed || (option !== "rw" && option !== "ro")) {
    throw new UsageError(
      `volume ${quote(text)} is not valid`,
      "write SRC:DST or SRC:DST:ro, and \\: for a colon in a path",
    );
  }
  return {
    source: source.startsWith("/") ? source : `${cwd}/${source}`,
    destination: checkInnerPath("volume's destination", destination),
    readonly: option === "ro",
  };
}
