/**
 * The two connections of NRI over one socket: frames of its multiplexer (nri, pkg/net/multiplex: the number of the
 * connection, the length) carry parts of two streams of ttrpc (containerd/ttrpc, PROTOCOL.md).
 */
import { VeneerError } from "../errors.ts";
import { readSome, writeAll } from "../sys/fd.ts";

/** A message of ttrpc. */
export interface Message {
  /** the connection that it came by, or goes by */
  readonly connection: number;
  readonly stream: number;
  readonly kind: number;
  readonly content: Uint8Array;
}

/** We serve on this one. */
export const PLUGIN_SERVICE = 1;
/** We call on this one. */
export const RUNTIME_SERVICE = 2;

export const REQUEST = 1;
export const RESPONSE = 2;

const FRAME_HEADER = 8;
const MESSAGE_HEADER = 10;
/** bytes of a message of ttrpc (PROTOCOL.md) */
const MESSAGE_LIMIT = 4 * 1024 * 1024;

const NAME = "NRI's socket";

export function send(fd: number, { connection, stream, kind, content }: Message): void {
  const bytes = new Uint8Array(FRAME_HEADER + MESSAGE_HEADER + content.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, connection);
  view.setUint32(4, MESSAGE_HEADER + content.length);
  view.setUint32(8, content.length);
  view.setUint32(12, stream);
  view.setUint8(16, kind);
  bytes.set(content, FRAME_HEADER + MESSAGE_HEADER);
  writeAll(fd, bytes, NAME);
}

/** All messages until the other side closes the socket. Throws NRI when it sends what no NRI sends. */
export function* receive(fd: number): Generator<Message> {
  const streams = new Map<number, Uint8Array>();
  for (;;) {
    const header = readExactly(fd, FRAME_HEADER);
    if (!header) return;
    const view = new DataView(header.buffer);
    const connection = view.getUint32(0);
    const content = readExactly(fd, limited(view.getUint32(4)));
    if (!content) return;
    let bytes = joined(streams.get(connection), content);
    for (let message = firstMessage(bytes); message; message = firstMessage(bytes)) {
      bytes = bytes.subarray(message.length);
      yield { connection, ...message };
    }
    streams.set(connection, bytes.slice());
  }
}

function firstMessage(bytes: Uint8Array) {
  if (bytes.length < MESSAGE_HEADER) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  const length = limited(MESSAGE_HEADER + view.getUint32(0));
  if (bytes.length < length) return undefined;
  return {
    stream: view.getUint32(4),
    kind: view.getUint8(8),
    content: bytes.slice(MESSAGE_HEADER, length),
    length,
  };
}

function limited(length: number): number {
  if (length <= MESSAGE_HEADER + MESSAGE_LIMIT) return length;
  throw new VeneerError("NRI", `a message of NRI has ${length} bytes`);
}

function joined(first: Uint8Array | undefined, second: Uint8Array): Uint8Array {
  if (!first || first.length === 0) return second;
  const all = new Uint8Array(first.length + second.length);
  all.set(first);
  all.set(second, first.length);
  return all;
}

/** Undefined when the socket was closed. */
function readExactly(fd: number, length: number): Uint8Array | undefined {
  const bytes = new Uint8Array(length);
  for (let done = 0; done < length; ) {
    const count = readSome(fd, bytes.subarray(done), NAME);
    if (count === 0) return undefined;
    done += count;
  }
  return bytes;
}
