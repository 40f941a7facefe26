/**
 * Converts POSIX ACLs between the text in tar archives (acl(5), "short text form"; star adds numeric ids) and the value
 * of the extended attribute that the kernel uses (include/uapi/linux/posix_acl_xattr.h).
 */
const VERSION = 2;
const UNDEFINED_ID = 0xffffffff;

/** linux/posix_acl.h: ACL_USER_OBJ, ACL_USER, …: the tag without an id, and the tag with one */
const TAGS: Readonly<Record<string, readonly [object: number, named: number]>> = {
  user: [0x01, 0x02],
  u: [0x01, 0x02],
  group: [0x04, 0x08],
  g: [0x04, 0x08],
  mask: [0x10, 0x10],
  m: [0x10, 0x10],
  other: [0x20, 0x20],
  o: [0x20, 0x20],
};

/**
 * Parses the text of an ACL. Returns undefined when it is malformed or has a name instead of a numeric id, because
 * names mean nothing on another system.
 */
export function parseAcl(text: string): Uint8Array | undefined {
  const entries: { tag: number; permissions: number; id: number }[] = [];
  for (const line of text.split(/[,\n]/)) {
    const entry = line.replace(/#.*$/, "").trim();
    if (entry === "") continue;
    const [type = "", qualifier = "", permissions = "", id = ""] = entry
      .split(":")
      .map((part) => part.trim());
    const tags = TAGS[type];
    const bits = /^([r-])([w-])([x-])$/.exec(permissions);
    if (!tags || !bits) return undefined;
    const who = id === "" ? qualifier : id;
    if (who !== "" && !/^[0-9]{1,10}$/.test(who)) return undefined;
    const value = (bits[1] === "r" ? 4 : 0) + (bits[2] === "w" ? 2 : 0) + (bits[3] === "x" ? 1 : 0);
    entries.push({
      tag: tags[who === "" ? 0 : 1],
      permissions: value,
      id: who === "" ? UNDEFINED_ID : Number(who),
    });
  }
  if (entries.length === 0) return undefined;
  // the order that the kernel requires (posix_acl_valid in fs/posix_acl.c)
  entries.sort((a, b) => a.tag - b.tag || a.id - b.id);
  const view = new DataView(new ArrayBuffer(4 + 8 * entries.length));
  view.setUint32(0, VERSION, true);
  entries.forEach(({ tag, permissions, id }, index) => {
    view.setUint16(4 + 8 * index, tag, true);
    view.setUint16(6 + 8 * index, permissions, true);
    view.setUint32(8 + 8 * index, id, true);
  });
  return new Uint8Array(view.buffer);
}

/** Formats an ACL like GNU tar with --numeric-owner; undefined when the value is not an ACL. */
export function formatAcl(value: Uint8Array): string | undefined {
  const view = new DataView(value.buffer, value.byteOffset, value.byteLength);
  if (value.length < 4 || value.length % 8 !== 4 || view.getUint32(0, true) !== VERSION) return undefined;
  const lines: string[] = [];
  for (let at = 4; at < value.length; at += 8) {
    const tag = view.getUint16(at, true);
    const bits = view.getUint16(at + 2, true);
    const id = view.getUint32(at + 4, true);
    const type = { 1: "user", 2: "user", 4: "group", 8: "group", 16: "mask", 32: "other" }[tag];
    if (type === undefined) return undefined;
    const who = tag === 2 || tag === 8 ? `${id}` : "";
    lines.push(`${type}:${who}:${bits & 4 ? "r" : "-"}${bits & 2 ? "w" : "-"}${bits & 1 ? "x" : "-"}`);
  }
  return lines.join(",");
}
