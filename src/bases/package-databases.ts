/** Parses the databases of package managers into names and versions. Pure. */

type Entry = readonly [name: string, version: string];

/** Parses dpkg's status file (deb-control(5), dpkg(1) "Package states"): packages installed or partly installed. */
export function* parseDpkg(text: string): Generator<Entry> {
  for (const paragraph of text.split(/\n\n+/)) {
    const field = (name: string) => new RegExp(`^${name}:[ \\t]*(.*)$`, "m").exec(paragraph)?.[1]?.trim();
    const [name, version, state] = [field("Package"), field("Version"), field("Status")];
    if (name === undefined || version === undefined) continue;
    // the files in status.d of images without dpkg have no Status field
    if (state !== undefined && /\s(not-installed|config-files)$/.test(state)) continue;
    yield [`${name}:${field("Architecture") ?? "all"}`, version];
  }
}

/** Parses apk's database (apk-tools, doc/apk-v2.5.scd): `P:` name, `V:` version, `A:` architecture. */
export function* parseApk(text: string): Generator<Entry> {
  for (const paragraph of text.split(/\n\n+/)) {
    const field = (letter: string) => new RegExp(`^${letter}:(.*)$`, "m").exec(paragraph)?.[1]?.trim();
    const [name, version] = [field("P"), field("V")];
    if (name !== undefined && version !== undefined) yield [`${name}:${field("A") ?? "noarch"}`, version];
  }
}

const TAG = { name: 1000, version: 1001, release: 1002, epoch: 1003, arch: 1022 } as const;

/**
 * Parses an rpm header as the database stores it (rpm, docs/manual/format_header.md, without the magic): two counts,
 * then entries of tag, type, offset and count, then the data. Undefined when it is malformed, and for keys
 * (gpg-pubkey).
 */
export function parseRpmHeader(bytes: Uint8Array): Entry | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < 8) return undefined;
  const data = 8 + view.getUint32(0) * 16;
  if (data > bytes.length) return undefined;
  const offsets = new Map<number, number>();
  for (let at = 8; at < data; at += 16) offsets.set(view.getUint32(at), data + view.getUint32(at + 8));
  const text = (tag: number) => {
    const start = offsets.get(tag);
    const end = start === undefined ? -1 : bytes.indexOf(0, start);
    return start === undefined || end < 0 ? undefined : new TextDecoder().decode(bytes.subarray(start, end));
  };
  const [name, version, release] = [text(TAG.name), text(TAG.version), text(TAG.release)];
  if (name === undefined || version === undefined || name === "gpg-pubkey") return undefined;
  const at = offsets.get(TAG.epoch);
  const epoch = at === undefined || at + 4 > bytes.length ? "" : `${view.getUint32(at)}:`;
  return [`${name}:${text(TAG.arch) ?? "noarch"}`, `${epoch}${version}-${release ?? ""}`];
}

export interface PackageDiff {
  readonly added: readonly { readonly name: string; readonly version: string }[];
  readonly removed: readonly { readonly name: string; readonly version: string }[];
  readonly changed: readonly { readonly name: string; readonly from: string; readonly to: string }[];
}

/**
 * Sorted by name. The architecture is part of the name only when several architectures of the package are installed.
 */
export function diffPackages(
  before: ReadonlyMap<string, string>,
  after: ReadonlyMap<string, string>,
): PackageDiff {
  const keys = [...new Set([...before.keys(), ...after.keys()])].sort();
  const plain = (key: string) => key.slice(0, key.lastIndexOf(":"));
  const counts = new Map<string, number>();
  for (const key of keys) counts.set(plain(key), (counts.get(plain(key)) ?? 0) + 1);
  const nameOf = (key: string) => (counts.get(plain(key)) === 1 ? plain(key) : key);
  const result = { added: [], removed: [], changed: [] } as {
    -readonly [Key in keyof PackageDiff]: PackageDiff[Key][number][];
  };
  for (const key of keys) {
    const [from, to] = [before.get(key), after.get(key)];
    if (from === undefined) result.added.push({ name: nameOf(key), version: to as string });
    else if (to === undefined) result.removed.push({ name: nameOf(key), version: from });
    else if (from !== to) result.changed.push({ name: nameOf(key), from, to });
  }
  return result;
}

/** Formats the difference for people, one line per package: `added nginx 1.22`. */
export function packageLines({ added, removed, changed }: PackageDiff): string[] {
  return [
    ...added.map(({ name, version }) => `added ${name} ${version}`),
    ...removed.map(({ name, version }) => `removed ${name} ${version}`),
    ...changed.map(({ name, from, to }) => `changed ${name} ${from} → ${to}`),
  ];
}
