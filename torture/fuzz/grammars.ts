/** Input as engines, images, users and attackers make it: right in most places, and then not. */
import fc from "fast-check";

const KEYS = [
  ...[
    "annotations",
    "root",
    "path",
    "hooks",
    "process",
    "env",
    "linux",
    "namespaces",
    "type",
    "mounts",
    "options",
    "readonly",
  ],
  ...[
    "run.veneer.base",
    "run.veneer.instance",
    "run.veneer.mask",
    "run.veneer.upper",
    "run.veneer.tmpfs",
    "run.veneer.",
  ],
  ...[
    "id",
    "status",
    "pid",
    "bundle",
    "ociVersion",
    "layers",
    "digest",
    "size",
    "mediaType",
    "created",
    "origin",
    "current",
    "last",
  ],
  ...[
    "opaque",
    "mask",
    "runtimes",
    "log",
    "logFormat",
    "shareFiles",
    "bases",
    "instances",
    "source",
    "image",
    "command",
    "check",
  ],
  ...["__proto__", "constructor", "toString", "Annotations", "annotation\u017f", "", "\u0000", "a\ud800"],
];

/** Names, sizes, paths, versions, and what looks like them. */
export const word = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.constantFrom(
      "debian",
      "debian@3",
      "debian@",
      "@1",
      "web1",
      "64m",
      "2g",
      "-1",
      "1e9",
      "0x10",
      "true",
      "none",
    ),
  },
  {
    weight: 3,
    arbitrary: fc.constantFrom(
      "/",
      "/tmp",
      "/a/../b",
      "//x//",
      "../..",
      ".",
      "/etc/\u0000",
      "/ä/\udcff",
      "rshared",
      "a:b",
      "/*",
      "/x/[a",
    ),
  },
  { weight: 2, arbitrary: fc.string({ maxLength: 20 }) },
  { weight: 2, arbitrary: fc.string({ unit: "binary", maxLength: 12 }) },
  {
    weight: 1,
    arbitrary: fc.string({
      unit: fc.constantFrom("\\", '"', ":", ",", "\n", "=", " ", "\t", "\u001b", "\u202e", "0", "a"),
      maxLength: 30,
    }),
  },
);

export const key = fc.oneof(
  { weight: 5, arbitrary: fc.constantFrom(...KEYS) },
  { weight: 1, arbitrary: word },
);

/** Documents of every kind that the programs read, by their keys. */
export const { value: document } = fc.letrec((tie) => ({
  value: fc.oneof(
    { maxDepth: 5, depthIdentifier: "document" },
    { weight: 4, arbitrary: word },
    {
      weight: 2,
      arbitrary: fc.oneof(
        fc.integer(),
        fc.double(),
        fc.boolean(),
        fc.constant(null),
        fc.bigInt({ min: 0n, max: 2n ** 64n }).map(Number),
      ),
    },
    { weight: 2, arbitrary: fc.array(tie("value"), { maxLength: 4 }) },
    {
      weight: 5,
      arbitrary: fc
        .array(fc.tuple(key, tie("value")), { maxLength: 5 })
        .map((entries) => Object.fromEntries(entries)),
    },
  ),
}));

/** Changes to a text or to bytes: what is cut, doubled, moved and put in. */
const edits = fc.array(
  fc.tuple(
    fc.nat(),
    fc.nat({ max: 12 }),
    fc.oneof(
      word,
      fc.constantFrom(
        "{",
        "}",
        "[",
        "]",
        '"',
        ",",
        ":",
        "\\u0061",
        "\\",
        "//",
        "\ufeff",
        "\0",
        "1e999",
        "-0",
      ),
    ),
  ),
  {
    maxLength: 3,
  },
);

const edited = (text: fc.Arbitrary<string>) =>
  fc
    .tuple(text, fc.oneof({ weight: 1, arbitrary: fc.constant([]) }, { weight: 2, arbitrary: edits }))
    .map(([whole, list]) =>
      (list as [number, number, string][]).reduce((now, [at, length, put]) => {
        const place = now.length === 0 ? 0 : at % (now.length + 1);
        return now.slice(0, place) + put + now.slice(place + (length % 8));
      }, whole),
    );

export const jsonText = edited(
  fc
    .tuple(document, fc.constantFrom(undefined, 1, "\t"))
    .map(([value, space]) => JSON.stringify(value, undefined, space) ?? "null"),
);

const bundle = fc.record(
  {
    ociVersion: fc.constant("1.0.2"),
    root: fc.record({ path: word, readonly: fc.boolean() }, { requiredKeys: ["path"] }),
    annotations: fc.dictionary(
      fc.constantFrom("run.veneer.base", "run.veneer.instance", "run.veneer.mask", "x", "run.veneer.upper"),
      word,
    ),
    process: fc.record({
      env: fc.array(fc.tuple(fc.constantFrom("VENEER_BASE=", "PATH=", "X"), word).map((two) => two.join(""))),
      cwd: word,
    }),
    hooks: fc.record(
      { prestart: fc.array(fc.record({ path: word, args: fc.array(word) })), poststop: fc.constant(null) },
      { requiredKeys: [] },
    ),
    linux: fc.record(
      {
        rootfsPropagation: word,
        maskedPaths: fc.array(word),
        namespaces: fc.array(fc.record({ type: word, path: word })),
      },
      { requiredKeys: [] },
    ),
    mounts: fc.array(fc.record({ destination: word, source: word, options: fc.array(word) })),
  },
  { requiredKeys: ["root"] },
);
export const bundleText = edited(bundle.map((value) => JSON.stringify(value)));

/** Lines that a key, a sign and a value make; comments; lines of nothing of that. */
const lines = (keys: readonly string[], signs: readonly string[], values: fc.Arbitrary<string>) =>
  fc
    .array(
      fc.oneof(
        {
          weight: 5,
          arbitrary: fc
            .tuple(fc.constantFrom(...keys), fc.constantFrom(...signs), values)
            .map((parts) => parts.join("")),
        },
        { weight: 1, arbitrary: fc.string({ maxLength: 30 }) },
        { weight: 1, arbitrary: fc.constantFrom("", "# a comment", "\t", "\r") },
      ),
      { maxLength: 12 },
    )
    .map((all) => all.join("\n"));

const LXC = [
  "rootfs.path",
  "rootfs.options",
  "ephemeral",
  "environment",
  "idmap",
  "hook.pre-mount",
  "hook.post-stop",
  "hook.version",
  "include",
];
export const lxcText = edited(
  lines(
    LXC.flatMap((name) => [`lxc.${name}`, `  lxc.${name}`]),
    [" = ", "=", "\t=\t", " == "],
    fc.oneof(
      word,
      fc.constantFrom(
        "u 0 100000 65536",
        "g 0 100000 65536",
        "u 0 -1 x",
        "/usr/bin/veneer hook lxc --base b",
        "VENEER_BASE=debian",
        "dir:/x",
        "overlay:/a:/b",
      ),
    ),
  ),
);
export const lxcLines = fc.array(
  fc.record({
    key: fc.constantFrom(...LXC.slice(0, -1)),
    value: fc.oneof(
      word,
      fc.constantFrom("u 0 100000 65536", "g 0 100000 65536", "b 1 2 3", "VENEER_BASE=x"),
    ),
    file: fc.constant("/config"),
  }),
  { maxLength: 10 },
);

const number = fc.oneof(
  fc.nat({ max: 300 }).map(String),
  fc.constantFrom("", "-1", "x", "99999999999999999999"),
);
const mountPath = fc.oneof(word, fc.constantFrom("/", "/a\\040b", "/a\\012b", "/\\134", "/x\\9", "/proc"));
const mountLine = fc
  .tuple(
    number,
    number,
    fc.constantFrom("0:1", "8:1", "", "x"),
    mountPath,
    mountPath,
    fc.constantFrom("rw", "ro,nosuid"),
    fc.array(fc.constantFrom("shared:1", "master:2", "-"), { maxLength: 3 }),
    fc.constantFrom("overlay", "tmpfs", "-"),
    mountPath,
    fc.oneof(word, fc.constantFrom("rw,lowerdir=/a:/b,upperdir=/u,workdir=/w", "rw,upperdir=/a\\054b")),
  )
  .map(([id, parent, device, root, target, options, propagation, type, source, sup]) =>
    [id, parent, device, root, target, options, ...propagation, "-", type, source, sup].join(" "),
  );
export const mountTable = edited(fc.array(mountLine, { maxLength: 12 }).map((all) => all.join("\n")));

/** Words of a runtime's command line. */
export const runtimeWords = fc.array(
  fc.oneof(
    {
      weight: 4,
      arbitrary: fc.constantFrom(
        "create",
        "run",
        "start",
        "delete",
        "exec",
        "restore",
        "checkpoint",
        "state",
        "list",
        "help",
        "--version",
      ),
    },
    {
      weight: 4,
      arbitrary: fc.constantFrom(
        "--root",
        "--root=/x",
        "--log",
        "--log-format",
        "json",
        "-b",
        "--bundle",
        "--bundle=/b",
        "-b/b",
        "-d",
        "--pid-file",
        "--console-socket",
        "--",
        "-",
        "--unknown",
        "-xyz",
        "--systemd-cgroup",
        "--no-pivot",
        "-f",
        "--config",
        "--preserve-fds",
        "3",
      ),
    },
    { weight: 2, arbitrary: word },
  ),
  { maxLength: 10 },
);

/** Words behind `veneer hook`. */
export const hookWords = fc.array(
  fc.oneof(
    fc.constantFrom(
      "oci",
      "lxc",
      "precreate",
      "--base",
      "--base=debian",
      "--instance",
      "--opaque",
      "none",
      "--mask",
      "--tmpfs",
      "64m",
      "--persistent",
      "--release",
      "--root",
      "/x",
      "--config",
      "--debug",
    ),
    word,
  ),
  { maxLength: 8 },
);

/** A block of a tar's header: made right, then changed in some bytes. */
export const tarHeader = fc
  .tuple(
    fc.record({
      name: word,
      link: word,
      type: fc.constantFrom("0", "1", "2", "3", "5", "6", "x", "g", "L", "K", "S", "\0", "7"),
      size: fc.oneof(fc.nat({ max: 4096 }), fc.constantFrom(-1, 2 ** 33, 2 ** 53)),
    }),
    fc.array(fc.tuple(fc.nat({ max: 511 }), fc.nat({ max: 255 })), { maxLength: 4 }),
    fc.boolean(),
  )
  .map(([{ name, link, type, size }, changes, sound]) => {
    const block = Buffer.alloc(512);
    block.write(name, 0, 100);
    block.write("0000644\0", 100, "latin1");
    block.write("0000000\0", 108, "latin1");
    block.write("0000000\0", 116, "latin1");
    block.write(size < 0 ? "-1" : size.toString(8).padStart(11, "0").slice(-11), 124, "latin1");
    block.write("14000000000\0", 136, "latin1");
    block.write(type, 156, "latin1");
    block.write(link, 157, 100);
    block.write("ustar\x0000", 257, "latin1");
    for (const [at, byte] of changes) if (at < 148 || at >= 156) block[at] = byte;
    block.fill(" ", 148, 156);
    const sum = block.reduce((total, byte) => total + byte, 0);
    block.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
    if (!sound) for (const [at, byte] of changes) block[at] = byte;
    return new Uint8Array(block);
  });

const paxRecord = fc
  .tuple(
    fc.constantFrom(
      "path",
      "linkpath",
      "size",
      "mtime",
      "uid",
      "SCHILY.xattr.user.x",
      "SCHILY.acl.access",
      "GNU.sparse.major",
      "GNU.sparse.map",
      "GNU.sparse.size",
    ),
    word,
  )
  .map(([name, value]) => {
    const rest = ` ${name}=${value}\n`;
    const bytes = Buffer.byteLength(rest);
    let length = bytes + 1;
    while (String(length).length + bytes !== length) length = String(length).length + bytes;
    return `${length}${rest}`;
  });
export const paxText = edited(fc.array(paxRecord, { maxLength: 5 }).map((all) => all.join("")));

/** An archive: headers with data that fits, or not quite. */
export const tarArchive = fc
  .array(
    fc.oneof(
      { weight: 3, arbitrary: fc.tuple(tarHeader, fc.uint8Array({ maxLength: 600 })) },
      {
        weight: 1,
        arbitrary: fc.tuple(
          fc.uint8Array({ minLength: 512, maxLength: 512 }),
          fc.uint8Array({ maxLength: 10 }),
        ),
      },
    ),
    { maxLength: 5 },
  )
  .map((entries) =>
    Buffer.concat([
      ...entries.flatMap(([header, data]) => [header, data, Buffer.alloc((512 - (data.length % 512)) % 512)]),
      Buffer.alloc(1024),
    ]),
  );
