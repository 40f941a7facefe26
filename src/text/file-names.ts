/**
 * File names are bytes. As strings they are UTF-8 decoded; a byte that is not UTF-8 becomes a lone surrogate,
 * U+DC80 to U+DCFF, so that it comes back the same (Python's surrogateescape, PEP 383).
 */

const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const encoder = new TextEncoder();

export function decodeName(bytes: Uint8Array): string {
  const text = decoder.decode(bytes);
  // QuickJS finds by indexOf at once that a string of one-byte characters has none
  return text.indexOf("\ufffd") >= 0 ? decodeEscaped(bytes) : text;
}

function decodeEscaped(bytes: Uint8Array): string {
  let text = "";
  for (let at = 0; at < bytes.length; ) {
    const length = sequenceLength(bytes, at);
    text += length > 0 ? strict.decode(bytes.subarray(at, at + length)) : escaped(bytes[at] as number);
    at += Math.max(length, 1);
  }
  return text;
}

function escaped(byte: number): string {
  return String.fromCharCode(0xdc00 + byte);
}

/** Bytes of the well-formed UTF-8 sequence at `at`; 0 where there is none. */
function sequenceLength(bytes: Uint8Array, at: number): number {
  const first = bytes[at] as number;
  if (first < 0x80) return 1;
  const length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  try {
    strict.decode(bytes.subarray(at, at + length));
    return at + length <= bytes.length ? length : 0;
  } catch {
    return 0;
  }
}

/** The bytes that {@link decodeName} was given. A surrogate that stands for no byte becomes U+FFFD. */
export function encodeName(text: string): Uint8Array {
  if (text.isWellFormed()) return encoder.encode(text);
  const bytes: number[] = [];
  for (const character of text) {
    const code = character.codePointAt(0) as number;
    if (code >= 0xdc80 && code <= 0xdcff) bytes.push(code - 0xdc00);
    else bytes.push(...encoder.encode(character));
  }
  return new Uint8Array(bytes);
}

/** A path for one line of a terminal: control characters, backslashes and bytes that are not UTF-8 escaped. */
export function printablePath(path: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is escaped
  return path.replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029\\]|[\udc80-\udcff]/gu, (c) => {
    const code = c.codePointAt(0) as number;
    if (c === "\\") return "\\\\";
    if (code >= 0xdc80 && code <= 0xdcff) return `\\x${(code - 0xdc00).toString(16)}`;
    return code > 0xff ? `\\u${code.toString(16)}` : `\\x${code.toString(16).padStart(2, "0")}`;
  });
}
