/**
 * What the coverage-guided fuzzer does with an input, in QuickJS: the first byte chooses. JSON is read as config.json is, text
 * and names go through the C functions and back, and a path reaches the kernel.
 */
import { CONFIG_SHAPE } from "../../src/request/bundle-shape.ts";
import { readBundleConfig } from "../../src/request/bundle-text.ts";
import { parseUnambiguous } from "../../src/request/json-check.ts";
import { locate } from "../../src/request/json-locate.ts";
import { cstring, syscall } from "../../src/sys/primitive.ts";
import { decodeName, encodeName, printablePath } from "../../src/text/file-names.ts";

function differs(what: string): never {
  throw new Error(`DIFFERENCE: ${what}`);
}

const same = (a: Uint8Array, b: Uint8Array) =>
  a.length === b.length && a.every((byte, index) => byte === b[index]);

/** What an action returns, and by what it fails. */
function attempt(action: () => unknown): { value?: unknown; error?: unknown } {
  try {
    return { value: action() };
  } catch (error) {
    return { error };
  }
}

const ACTIONS: readonly ((bytes: Uint8Array) => void)[] = [
  // JSON as it is
  (bytes) => {
    const text = new TextDecoder().decode(bytes);
    const { value, error } = attempt(() => JSON.parse(text));
    if (error === undefined && JSON.stringify(JSON.parse(JSON.stringify(value))) !== JSON.stringify(value))
      differs("JSON");
  },
  // what is unambiguous is what JSON.parse makes of it
  (bytes) => {
    const text = decodeName(bytes);
    const strict = attempt(() => parseUnambiguous(text, CONFIG_SHAPE));
    const plain = attempt(() => JSON.parse(text));
    if (strict.error === undefined && JSON.stringify(strict.value) !== JSON.stringify(plain.value))
      differs("strict");
    if (plain.error !== undefined && strict.error === undefined) differs("taken for JSON");
    if (strict.error instanceof TypeError || strict.error instanceof ReferenceError)
      differs(`strict: ${strict.error}`);
  },
  // the annotations of a bundle, and where they are
  (bytes) => {
    const text = decodeName(bytes);
    const { value, error } = attempt(() => readBundleConfig(text, "config.json", true));
    if (error instanceof TypeError || error instanceof ReferenceError) differs(`bundle: ${error}`);
    // only of what was taken: what locate() does with other text is not said
    if (value !== undefined) locate(text, ["annotations", "run.veneer.base"]);
  },
  // bytes to text and back
  (bytes) => {
    if (!same(encodeName(decodeName(bytes)), bytes)) differs("a name");
    const text = new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes);
    if (new TextDecoder("utf-8", { ignoreBOM: true }).decode(new TextEncoder().encode(text)) !== text)
      differs("UTF-8");
  },
  // paths as the kernel gets them: access(2) of what is not there
  (bytes) => {
    const name = decodeName(bytes);
    if (name.includes("\0")) return;
    syscall(21, cstring(`/proc/self/no/${name}`), 0);
  },
  // expressions, as globs and file names make them
  (bytes) => {
    const text = decodeName(bytes);
    text.normalize?.("NFC");
    printablePath(text);
    JSON.stringify(text.split(/(\s+|[:=,])/u));
  },
];

host.start = ((bytes: Uint8Array) => {
  const [kind = 0] = bytes;
  ACTIONS[kind % ACTIONS.length]?.(bytes.slice(1));
}) as unknown as () => void;
