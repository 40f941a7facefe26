/** Recognizes a tree that is not the root of a system: an image, or a root one directory further down. */
import { VeneerError } from "../errors.ts";
import { S_IFDIR } from "../sys/flags.ts";
import { isType, list, lstatMaybe } from "../sys/stat.ts";
import { quote } from "../text/quote.ts";

type Recognized = "oci-archive:" | "docker-archive:" | "oci:" | "dir:" | "root below";

/** Directories that a root seldom lacks. */
const OF_A_ROOT = ["bin", "etc", "usr", "sbin", "lib"];

/** Returns undefined for a root, or for a tree of unknown kind. `archive`: the tree came out of a tar. */
function recognize(tree: string, archive: boolean): Recognized | undefined {
  const has = (name: string) => lstatMaybe(`${tree}/${name}`) !== undefined;
  const names = list(tree);
  if (OF_A_ROOT.some((name) => names.includes(name))) return undefined;
  // newer versions of docker save also write a layout, but the older form has more about tags
  if (has("manifest.json") && archive) return "docker-archive:";
  if (has("oci-layout") && has("index.json")) return archive ? "oci-archive:" : "oci:";
  if (has("manifest.json") && has("version")) return "dir:";
  const [only, ...others] = names;
  if (!archive || only === undefined || others.length > 0) return undefined;
  if (!isType(lstatMaybe(`${tree}/${only}`), S_IFDIR)) return undefined;
  const inner = list(`${tree}/${only}`);
  return OF_A_ROOT.filter((name) => inner.includes(name)).length > 1 ? "root below" : undefined;
}

/**
 * Throws IS_IMAGE or NOT_ROOT_TREE, with the right command, when `tree` is recognized as something other than a root.
 * `text`: the source as given.
 */
export function refuseRecognized(tree: string, text: string, archive: boolean): void {
  const found = recognize(tree, archive);
  if (found === undefined) return;
  if (found === "root below") {
    const name = list(tree)[0] as string;
    throw new VeneerError(
      "ROOT_BELOW",
      `everything in ${quote(text)} is below one directory, ${quote(name)}`,
      {
        hint: `unpack it, and import that directory; or pack it anew: tar -C ${name} -c .`,
      },
    );
  }
  const what =
    found === "docker-archive:" ? "an image as 'docker save' writes it" : "an image of a container";
  const source = text === "-" ? "FILE" : text;
  throw new VeneerError("IS_IMAGE", `${quote(text)} is ${what}, not the root of a system`, {
    hint: `import it as ${found}${source}${text === "-" ? ", from a file" : ""}`,
  });
}
