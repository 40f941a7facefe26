/** How the wrapping runtime reads config.json: refuses a text that different parsers would read differently. */
import validateBundleConfig from "../generated/oci-config.js";
import { checkDocument } from "../store/check-document.ts";
import { CONFIG_SHAPE, unusable } from "./bundle-shape.ts";
import { parseUnambiguous } from "./json-check.ts";
import type { BundleConfig } from "./oci-config.ts";

const PREFIX = "run.veneer.";
const VARIABLE = "VENEER_";

/**
 * The configuration of a container that names a base or an instance, or might: its annotations have a run.veneer.*
 * key or, with `environment`, its process a VENEER_* variable. Undefined for every other container, also where the
 * text is not valid: the real runtime says so better. Throws where the text names a base but parsers disagree about
 * it, or what is used of it is not valid.
 */
export function readBundleConfig(text: string, name: string, environment: boolean): BundleConfig | undefined {
  if (!mayName(text, environment)) return undefined;
  let data: unknown;
  try {
    data = parseUnambiguous(text, CONFIG_SHAPE);
  } catch (cause) {
    throw unusable(name, text, cause);
  }
  if (!names(data, environment)) return undefined;
  return checkDocument<BundleConfig>(data, name, validateBundleConfig);
}

/** Whether a document names a base or an instance, or might. Its types have not been checked yet. */
function names(data: unknown, environment: boolean): boolean {
  const { annotations, process } = (data ?? {}) as Record<string, unknown>;
  if (isObject(annotations) && Object.keys(annotations).some((key) => key.startsWith(PREFIX))) return true;
  if (!environment || !isObject(process) || !Array.isArray(process.env)) return false;
  return process.env.some((entry) => typeof entry === "string" && entry.startsWith(VARIABLE));
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/**
 * Whether any parser could find a base named in the text. Characters of a JSON string are written as they are or as
 * escapes, and none of the short escapes (\" \\ \/ \b \f \n \r \t) is a letter, a dot or an underscore. So without
 * \uXXXX, our keys and variables appear in the text literally. When the answer is yes, the text is parsed to find out.
 */
function mayName(text: string, environment: boolean): boolean {
  const plain = text.includes("\\u")
    ? text
        .replace(/\\u([0-9a-fA-F]{4})/g, (_, digits) => String.fromCharCode(Number.parseInt(digits, 16)))
        .replaceAll("\\", "")
    : text;
  return plain.includes(PREFIX) || (environment && plain.includes(VARIABLE));
}
