/** What a base is imported from, as the command line names it. */
import { UsageError } from "../errors.ts";
import { quote } from "../quote.ts";

export type Source =
  | { readonly kind: "path"; readonly path: string }
  | { readonly kind: "stdin" }
  | { readonly kind: "image"; readonly transport: string; readonly reference: string };

const TRANSPORTS = ["oci:", "oci-archive:", "docker-archive:", "docker://"];

/** Throws UsageError. A relative path is taken from `directory`. */
export function parseSource(text: string, directory: string): Source {
  if (text === "-") return { kind: "stdin" };
  const transport = TRANSPORTS.find((prefix) => text.startsWith(prefix));
  if (transport !== undefined) {
    const reference = text.slice(transport.length);
    if (reference === "") throw new UsageError(`source ${quote(text)} names no image`);
    return { kind: "image", transport, reference };
  }
  if (text === "")
    throw new UsageError("the source is empty", "name a directory, a tar file, an image, or -");
  return { kind: "path", path: text.startsWith("/") ? text : `${directory}/${text}` };
}
