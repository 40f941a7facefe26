/** Standard globals that our code uses and QuickJS lacks. The build evaluates this module before all others. */

/** The part of the Encoding Standard that we need: UTF-8 only, whole buffers only. */
class Decoder {
  readonly #fatal: boolean;
  readonly #keepMark: boolean;

  constructor(_label?: string, options: { fatal?: boolean; ignoreBOM?: boolean } = {}) {
    this.#fatal = options.fatal ?? false;
    this.#keepMark = options.ignoreBOM ?? false;
  }

  decode(bytes: Uint8Array): string {
    const text = host.decode(bytes);
    if (this.#fatal && text.includes("\ufffd") && !isSame(bytes, host.encode(text))) {
      throw new TypeError("not well-formed UTF-8");
    }
    return text.startsWith("\ufeff") && !this.#keepMark ? text.slice(1) : text;
  }
}

function isSame(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, index) => byte === b[index]);
}

class Encoder {
  encode(text: string): Uint8Array {
    return host.encode(text);
  }
}

Object.assign(globalThis, { TextDecoder: Decoder, TextEncoder: Encoder });

if (Symbol.dispose === undefined) Object.assign(Symbol, { dispose: Symbol("Symbol.dispose") });
