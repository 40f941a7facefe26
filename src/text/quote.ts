/**
 * A foreign string made safe for one line of a terminal or log: control characters and quotes are escaped
 * and what is longer than 200 characters is cut in the middle.
 */
export function quote(text: string | Uint8Array): string {
  const string = typeof text === "string" ? text : new TextDecoder().decode(text);
  const cut = string.length > 200 ? `${string.slice(0, 120)}…${string.slice(-60)}` : string;
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is escaped
  const escaped = cut.replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029\\']/g, (c) =>
    c === "'" || c === "\\" ? `\\${c}` : `\\x${c.charCodeAt(0).toString(16).padStart(2, "0")}`,
  );
  return `'${escaped}'`;
}
