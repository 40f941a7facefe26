/** Protocol Buffers (protobuf.dev, encoding), as far as NRI's messages need them: varints, bytes, strings, maps. */
import { VeneerError } from "../errors.ts";

type Value = number | Uint8Array;

/** The fields of a message by their numbers, each with its values in order. Numbers above 2^53 lose precision. */
export type Fields = ReadonlyMap<number, readonly Value[]>;

const VARINT = 0;
const FIXED64 = 1;
const BYTES = 2;
const FIXED32 = 5;

/** Throws NRI when the bytes are no message. */
export function decode(message: Uint8Array): Fields {
  const fields = new Map<number, Value[]>();
  let at = 0;
  const varint = () => {
    let value = 0;
    for (let factor = 1; at < message.length; factor *= 128) {
      const byte = message[at++] as number;
      value += (byte & 127) * factor;
      if (byte < 128) return value;
    }
    throw damaged();
  };
  const take = (length: number) => {
    if (at + length > message.length) throw damaged();
    at += length;
    return message.subarray(at - length, at);
  };
  while (at < message.length) {
    const tag = varint();
    const [number, kind] = [Math.floor(tag / 8), tag % 8];
    const value = kind === VARINT ? varint() : take(lengthOf(kind, varint));
    const values = fields.get(number);
    if (values) values.push(value);
    else fields.set(number, [value]);
  }
  return fields;
}

function lengthOf(kind: number, varint: () => number): number {
  if (kind === BYTES) return varint();
  if (kind === FIXED64) return 8;
  if (kind === FIXED32) return 4;
  throw damaged();
}

function damaged(): VeneerError {
  return new VeneerError("NRI", "a message of NRI is damaged");
}

/** The last value of a field: a string; empty where the message has none. */
export function textOf(fields: Fields, number: number): string {
  const value = fields.get(number)?.at(-1);
  return value instanceof Uint8Array ? new TextDecoder().decode(value) : "";
}

/** The last value of a field: a number; 0 where the message has none. */
export function numberOf(fields: Fields, number: number): number {
  const value = fields.get(number)?.at(-1);
  return typeof value === "number" ? value : 0;
}

/** The last value of a field: bytes, such as a message in the message; empty where there is none. */
export function bytesOf(fields: Fields, number: number): Uint8Array {
  const value = fields.get(number)?.at(-1);
  return value instanceof Uint8Array ? value : new Uint8Array();
}

/** A field that is a map of strings. */
export function mapOf(fields: Fields, number: number): Record<string, string> {
  const entries = (fields.get(number) ?? []).filter((value) => value instanceof Uint8Array).map(decode);
  return Object.fromEntries(entries.map((entry) => [textOf(entry, 1), textOf(entry, 2)]));
}

/** A message of these fields, which may repeat. */
export function encode(fields: readonly (readonly [number, string | number | Uint8Array])[]): Uint8Array {
  const bytes: number[] = [];
  const varint = (value: number) => {
    let rest = value;
    for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push((rest % 128) + 128);
    bytes.push(rest);
  };
  for (const [number, value] of fields) {
    varint(number * 8 + (typeof value === "number" ? VARINT : BYTES));
    if (typeof value === "number") varint(value);
    else {
      const content = typeof value === "string" ? new TextEncoder().encode(value) : value;
      varint(content.length);
      for (const byte of content) bytes.push(byte);
    }
  }
  return new Uint8Array(bytes);
}

/** The fields of a map of strings. */
export function mapFields(number: number, map: Readonly<Record<string, string>>): [number, Uint8Array][] {
  return Object.entries(map).map(([key, value]) => [
    number,
    encode([
      [1, key],
      [2, value],
    ]),
  ]);
}
