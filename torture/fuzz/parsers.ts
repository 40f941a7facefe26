/** Made-up input on the parsers, hundreds of thousands a minute: each takes it or refuses it in its words, at once. */
import fc from "fast-check";
import { parseDpkg } from "../../src/bases/package-databases.ts";
import { readImageConfig } from "../../src/containers/image-config.ts";
import { parseVolume } from "../../src/containers/volume.ts";
import { formatError, UsageError, VeneerError } from "../../src/errors.ts";
import { cleanPath } from "../../src/images/entry-path.ts";
import { parseImage, parseIndex } from "../../src/images/layout.ts";
import { parseSource } from "../../src/images/source.ts";
import { Arguments, readGlobalOption, readRequestOption } from "../../src/request/arguments.ts";
import { appendToArray, replaceValue } from "../../src/request/bundle-edit.ts";
import { CONFIG_SHAPE } from "../../src/request/bundle-shape.ts";
import { readBundleConfig } from "../../src/request/bundle-text.ts";
import { parseConfigFile, settingsOf } from "../../src/request/config.ts";
import { AmbiguousJson, parseUnambiguous } from "../../src/request/json-check.ts";
import { lxcConfigOf } from "../../src/request/lxc-config.ts";
import { dropHooks, setHook, setValue, valuesOf } from "../../src/request/lxc-text.ts";
import { parseBundleConfig } from "../../src/request/oci-config.ts";
import { parseState } from "../../src/request/oci-state.ts";
import {
  optionsOfAnnotations,
  optionsOfEnvironment,
  optionsOfProcess,
} from "../../src/request/root-request.ts";
import { readRuntimeArguments } from "../../src/request/runtime-args.ts";
import { findChildren, findMount, parseMountinfo, upperOf } from "../../src/sys/mountinfo.ts";
import { ByteReader } from "../../src/tar/byte-reader.ts";
import { parseHeader } from "../../src/tar/header.ts";
import { parsePax, paxNumber, paxTime, paxXattrs } from "../../src/tar/pax.ts";
import { formatAcl, parseAcl } from "../../src/tar/posix-acl.ts";
import { TarReader } from "../../src/tar/reader.ts";
import { decodeName, encodeName, printablePath } from "../../src/text/file-names.ts";
import { matchesGlob } from "../../src/text/glob.ts";
import { parseBaseRef, parseSize } from "../../src/text/names.ts";
import { quote } from "../../src/text/quote.ts";
import { parseIdRange } from "../../src/userns/id-mapping.ts";
import { parseSubordinate } from "../../src/userns/subordinate-ids.ts";
import * as grammar from "./grammars.ts";

/** Milliseconds for one input: a parser that needs longer does not end, as far as a start is concerned. */
const PATIENCE = 5000;

/** A parser, what it is fed, and what holds of what it makes of that. */
export interface Parser {
  readonly name: string;
  readonly property: fc.IRawProperty<unknown>;
}

/** What a parser may throw; one line of it is shown. */
function isAnswer(error: unknown): boolean {
  if (!(error instanceof UsageError || error instanceof VeneerError || error instanceof AmbiguousJson))
    return false;
  const line = formatError(error);
  // biome-ignore lint/suspicious/noControlCharactersInRegex: none of them may reach a terminal
  if (/[\u0000-\u0008\u000a-\u001f\u007f-\u009f\u202a-\u202e]/.test(line))
    throw new Error(`control characters in ${JSON.stringify(line)}`);
  return true;
}

/** What it returns; undefined where it refuses. Throws whatever else it throws, and where it is too slow. */
function answer<T>(action: () => T): T | undefined {
  const begin = performance.now();
  let result: T | undefined;
  try {
    result = action();
  } catch (error) {
    if (!isAnswer(error)) throw error;
  }
  const time = performance.now() - begin;
  if (time > PATIENCE) throw new Error(`it takes ${Math.round(time)} ms`);
  return result;
}

function mustEqual(what: string, one: unknown, other: unknown): void {
  const [a, b] = [one, other].map((value) => JSON.stringify(value));
  if (a !== b) throw new Error(`${what}: ${a} is not ${b}`);
}

function on<T>(name: string, input: fc.Arbitrary<T>, hold: (value: T) => void): Parser {
  return { name, property: fc.property(input, hold) as fc.IRawProperty<unknown> };
}

/** What JSON.parse makes of it, or undefined. */
function plain(text: string): { value: unknown } | undefined {
  try {
    return { value: JSON.parse(text) };
  } catch {
    return undefined;
  }
}

const bytesOf = (text: string) => new TextEncoder().encode(text);

export const PARSERS: readonly Parser[] = [
  on("unambiguous JSON", fc.oneof(grammar.jsonText, grammar.bundleText), (text) => {
    let strict: { value: unknown } | undefined;
    try {
      strict = { value: parseUnambiguous(text, CONFIG_SHAPE) };
    } catch (error) {
      if (!(error instanceof AmbiguousJson || error instanceof SyntaxError)) throw error;
    }
    if (strict) mustEqual("JSON", strict.value, plain(text)?.value);
  }),
  on("config.json", fc.oneof(grammar.bundleText, grammar.jsonText), (text) => {
    const config = answer(() => parseBundleConfig(text, "config.json"));
    if (config && typeof config.root.path !== "string") throw new Error("a root without a path");
  }),
  on("config.json of the wrapping runtime", grammar.bundleText, (text) => {
    const config = answer(() => readBundleConfig(text, "config.json", true));
    if (config) mustEqual("the configuration", config, plain(text)?.value);
  }),
  on("edits of config.json", grammar.bundleText, (text) => {
    if (!answer(() => parseBundleConfig(text, "config.json"))) return;
    const before = plain(text)?.value as {
      root: { path: string };
      hooks?: { poststop?: unknown[] | null } | null;
    };
    const added = answer(() => appendToArray(text, ["hooks", "poststop"], '{"path":"/ours"}')) as string;
    const hooks = [...(before.hooks?.poststop ?? []), { path: "/ours" }];
    const after = plain(added)?.value as typeof before;
    mustEqual("the hooks", after.hooks?.poststop, hooks);
    mustEqual("the root", after.root, before.root);
    const moved = plain(replaceValue(text, ["root", "path"], '"/new"'))?.value as typeof before;
    mustEqual("the new root", moved.root.path, "/new");
    mustEqual("the rest", { ...moved, root: 0 }, { ...before, root: 0 });
  }),
  on(
    "state",
    fc.oneof(
      grammar.jsonText,
      fc
        .record(
          {
            id: grammar.word,
            bundle: grammar.word,
            pid: fc.integer(),
            status: grammar.word,
            annotations: fc.dictionary(grammar.key, grammar.word),
          },
          { requiredKeys: ["id"] },
        )
        .map((value) => JSON.stringify(value)),
    ),
    (text) => {
      const state = answer(() => parseState(text));
      if (state && (state.id.includes("/") || state.id === ".."))
        throw new Error(`an id that is a path: ${state.id}`);
    },
  ),
  on("annotations", fc.dictionary(grammar.key, grammar.word), (annotations) => {
    const options = answer(() => optionsOfAnnotations(annotations));
    if (options?.instance !== undefined && !/^[a-z0-9][\w.-]*$/i.test(options.instance))
      throw new Error(`an instance ${options.instance}`);
  }),
  on(
    "variables",
    fc.array(
      fc.tuple(
        fc.constantFrom("VENEER_BASE", "VENEER_INSTANCE", "VENEER_MASK", "VENEER_X", "PATH"),
        grammar.word,
      ),
    ),
    (pairs) => {
      answer(() => optionsOfEnvironment(Object.fromEntries(pairs)));
      answer(() =>
        optionsOfProcess(
          pairs.map((pair) => pair.join("=")),
          { bases: ["*"], instances: ["web*"] },
        ),
      );
    },
  ),
  on(
    "configuration",
    fc.oneof(
      grammar.jsonText,
      fc
        .record(
          {
            opaque: fc.array(grammar.word),
            mask: fc.array(grammar.word),
            log: grammar.word,
            annotations: fc.record({ bases: fc.array(grammar.word) }),
          },
          { requiredKeys: [] },
        )
        .map((value) => JSON.stringify(value)),
    ),
    (text) => {
      const file = answer(() => parseConfigFile(text, "veneer.json"));
      if (file) answer(() => settingsOf(file, {}, { root: "/r", run: "/n", config: "/c" }));
    },
  ),
  on("arguments of hooks", grammar.hookWords, (words) => {
    answer(() => {
      const args = new Arguments(words);
      const requested = {};
      for (let word = args.next(); word !== undefined; word = args.next())
        if (!readRequestOption(word, args, requested)) readGlobalOption(word, args, {});
    });
  }),
  on(
    "arguments of runtimes",
    fc.tuple(fc.constantFrom("runc", "crun", "youki"), grammar.runtimeWords),
    ([name, words]) => {
      answer(() => readRuntimeArguments(name, words));
    },
  ),
  on("lines of LXC", grammar.lxcLines, (lines) => void answer(() => lxcConfigOf(lines))),
  on("text of LXC", fc.tuple(grammar.lxcText, grammar.word), ([text, word]) => {
    if (/[\n\r]/.test(word)) return;
    const value = word.trim();
    const changed = setValue(text, "rootfs.path", value);
    mustEqual("the value", valuesOf(changed, "rootfs.path").at(-1), value);
    const hooked = setHook(text, "pre-mount", "/usr/bin/veneer hook lxc");
    if (!hooked.includes("/usr/bin/veneer hook lxc")) throw new Error("the hook is not there");
    mustEqual("twice", setHook(hooked, "pre-mount", "/usr/bin/veneer hook lxc"), hooked);
    if (dropHooks(hooked).includes("/usr/bin/veneer hook lxc\n")) throw new Error("the hook is still there");
  }),
  on("mount table", grammar.mountTable, (text) => {
    const entries = parseMountinfo(text);
    for (const { id, parent, superOptions } of entries) {
      upperOf(superOptions);
      if (!Number.isInteger(id)) continue;
      findMount(text, id);
      if (Number.isInteger(parent) && findChildren(text, parent).some((one) => one.parent !== parent))
        throw new Error(`a child of ${parent} is not`);
    }
  }),
  on("index of an image", grammar.jsonText, (text) => void answer(() => parseIndex(text, "index.json"))),
  on(
    "manifest of an image",
    fc.tuple(
      fc.oneof(
        grammar.jsonText,
        fc
          .record({
            schemaVersion: fc.constant(2),
            config: fc.record({
              digest: fc.constant(`sha256:${"0".repeat(64)}`),
              size: fc.nat(),
              mediaType: grammar.word,
            }),
            layers: fc.array(
              fc.record({
                digest: grammar.word,
                size: fc.nat(),
                mediaType: fc.constantFrom("application/vnd.oci.image.layer.v1.tar+gzip", "x"),
              }),
            ),
          })
          .map((value) => JSON.stringify(value)),
      ),
      grammar.jsonText,
    ),
    ([manifest, config]) => void answer(() => parseImage(manifest, () => config)),
  ),
  on("configuration of an image", grammar.document, (document) => {
    if (typeof document === "object" && document !== null) answer(() => readImageConfig(document));
  }),
  on(
    "header of a tar",
    fc.oneof(grammar.tarHeader, fc.uint8Array({ minLength: 512, maxLength: 512 })),
    (block) => void answer(() => parseHeader(block)),
  ),
  on("extended header", grammar.paxText, (text) => {
    const records = answer(() => parsePax(bytesOf(text)));
    if (!records) return;
    answer(() => paxXattrs(records));
    for (const name of ["size", "uid"]) answer(() => paxNumber(records, name));
    answer(() => paxTime(records, "mtime"));
  }),
  {
    name: "tar",
    property: fc.asyncProperty(grammar.tarArchive, fc.boolean(), async (archive, useGlobal) => {
      async function* source() {
        for (let at = 0; at < archive.length; at += 700) yield new Uint8Array(archive.subarray(at, at + 700));
      }
      try {
        const reader = new TarReader(new ByteReader(source()), useGlobal);
        for (let entry = await reader.next(); entry; entry = await reader.next());
      } catch (error) {
        if (!isAnswer(error)) throw error;
      }
    }) as fc.IRawProperty<unknown>,
  },
  on("path of an entry", grammar.word, (text) => {
    const path = answer(() => cleanPath(text));
    if (path !== undefined && (path.startsWith("/") || path.split("/").includes("..")))
      throw new Error(`a path that leads out: ${path}`);
  }),
  on(
    "access list",
    fc.oneof(
      fc
        .array(
          fc.constantFrom(
            "user::rwx",
            "group::r-x",
            "other::---",
            "user:1000:r--",
            "mask::rwx",
            "user:x:r",
            "",
          ),
        )
        .map((all) => all.join("\n")),
      grammar.word,
    ),
    (text) => {
      const value = answer(() => parseAcl(text));
      if (value) formatAcl(value);
    },
  ),
  on("names", fc.uint8Array({ maxLength: 40 }), (bytes) => {
    const text = decodeName(bytes);
    mustEqual("the bytes", [...encodeName(text)], [...bytes]);
    // biome-ignore lint/suspicious/noControlCharactersInRegex: none of them may reach a terminal
    if (/[\u0000-\u001f\u007f]/.test(printablePath(text)) || /[\u0000-\u001f\u007f]/.test(quote(text)))
      throw new Error("control characters");
  }),
  on("words of options", fc.tuple(grammar.word, grammar.word), ([one, other]) => {
    answer(() => parseBaseRef(one));
    answer(() => parseSize(one));
    answer(() => parseVolume(one, "/"));
    answer(() => parseSource(one, "/"));
    answer(() => parseIdRange(one));
    answer(() => parseSubordinate(`${one}:${other}`, 0, "root"));
    answer(() => matchesGlob(one.slice(0, 40), other));
    answer(() => [...parseDpkg(`Package: ${one}\nVersion: ${other}\n\n`)]);
  }),
];
