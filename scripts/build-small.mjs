// Builds the small program: esbuild bundles src/main.ts for a run time without any interface, QuickJS turns the bundle
// into bytecode, and a C compiler makes one static executable of the engine, host.c and that bytecode. The same sources
// give the same bytes. The engine's objects are kept in build/, by version, compiler and flags.
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const own = join(root, "src/sys/quickjs");
const generated = join(root, "src/generated");
const SOURCES = ["quickjs", "libregexp", "libunicode", "dtoa", "cutils"];
const COMPILE = ["-O2", "-fwrapv", "-ffunction-sections", "-fdata-sections", "-D_GNU_SOURCE", "-std=gnu11"];
const LINK = ["-static", "-Wl,--gc-sections", "-Wl,--build-id=none"];

/** Compilers by architecture, as Node.js names them: the program's, and what is added to its flags. */
const COMPILERS = {
  x64: { cc: "musl-gcc", flags: ["-march=x86-64"] },
  arm64: { cc: "aarch64-linux-gnu-gcc", flags: [] },
};

/** Without the allocator of host.c, which would hide from the sanitizer what is used after it was freed. */
const SANITIZED = {
  cc: "gcc",
  flags: ["-g", "-fno-omit-frame-pointer", "-fsanitize=address,undefined", "-DSANITIZED"],
  link: ["-Wl,--gc-sections"],
};

function run(command, args, options = {}) {
  return execFileSync(command, args, {
    cwd: root,
    encoding: "utf8",
    stdio: ["ignore", "pipe", "inherit"],
    ...options,
  });
}

function fetchEngine() {
  run("bash", ["scripts/install-build-deps.sh"]);
  return run("bash", ["scripts/fetch-quickjs.sh"]).trim();
}

/** The engine's objects, made once for each version, compiler and set of flags. Publishes by rename. */
function engineObjects(source, { cc, flags }) {
  const version = readFileSync(join(source, "VERSION"), "utf8").trim();
  const all = [...COMPILE, ...flags, `-DCONFIG_VERSION="${version}"`];
  const about = [version, cc, run(cc, ["-dumpfullversion"]), ...all].join("\n");
  const directory = join(
    root,
    "build",
    `objects-${createHash("sha256").update(about).digest("hex").slice(0, 16)}`,
  );
  if (!existsSync(directory)) {
    const work = mkdtempSync(`${directory}.`);
    for (const name of SOURCES) {
      run(cc, [...all, "-w", "-c", `${name}.c`, "-o", join(work, `${name}.o`)], { cwd: source });
    }
    if (existsSync(directory)) rmSync(work, { recursive: true });
    else renameSync(work, directory);
  }
  return { objects: SOURCES.map((name) => join(directory, `${name}.o`)), flags: all };
}

function compileHost(source, compiler, outfile, more) {
  const { objects, flags } = engineObjects(source, compiler);
  const common = ["-Wall", "-Wextra", "-Wno-unused-parameter", "-isystem", source];
  run(compiler.cc, [
    ...flags,
    ...common,
    ...more,
    join(own, "host.c"),
    ...objects,
    "-o",
    outfile,
    ...(compiler.link ?? LINK),
    "-lm",
  ]);
}

/** Modules that the small program has in a version of its own, in src/sys/quickjs under the same name. */
const ownModules = {
  name: "own-modules",
  setup({ onResolve }) {
    onResolve({ filter: /\/(primitive|spawn)\.ts$/ }, ({ path, importer, kind }) =>
      kind === "import-statement" && dirname(importer) !== own
        ? { path: join(own, basename(path)) }
        : undefined,
    );
  },
};

/**
 * Modules that are read when one of their functions is called: what a call does not need costs it nothing. All that they
 * export must be functions. The validators are such modules, too.
 */
const LATE = [
  "src/cli/small.ts",
  "src/start/start.ts",
  "src/runtime/large-program.ts",
  "src/hook/lxc.ts",
  "src/hook/precreate.ts",
  "src/hook/run.ts",
  "src/hook/poststop.ts",
  "src/runtime/prepare.ts",
  "src/runtime/release.ts",
  "src/runtime/wrap.ts",
  "src/start/checkpoint.ts",
];

const lateModules = {
  name: "late-modules",
  setup({ onResolve, onLoad }) {
    const late = new Set(LATE.map((file) => join(root, file)));
    for (const file of late)
      if (!existsSync(file)) throw new Error(`build-small.mjs names ${file}, which is not there`);
    onResolve({ filter: /^\.\.?\// }, ({ path, importer, namespace, kind }) => {
      if (kind !== "import-statement" || namespace === "late") return undefined;
      const file = join(dirname(importer), path);
      return late.has(file) || dirname(file) === generated ? { path: file, namespace: "late" } : undefined;
    });
    onLoad({ filter: /./, namespace: "late" }, ({ path }) => {
      const own = `import(${JSON.stringify(`./${basename(path)}`)})`;
      return {
        contents: dirname(path) === generated ? lateValidator(own) : lateFunctions(path, own),
        resolveDir: dirname(path),
      };
    });
  },
};

function lateValidator(own) {
  return `let own;
export default function validate(data) {
  own ??= ${own};
  const valid = own.default(data);
  validate.errors = own.default.errors;
  return valid;
}`;
}

function lateFunctions(file, own) {
  const exported = [...readFileSync(file, "utf8").matchAll(/^export (?!type|interface)([a-z*]+(?: \w+)?)/gm)];
  const names = exported.map(([, words]) => {
    const name = /^function (\w+)$/.exec(words)?.[1];
    if (name === undefined)
      throw new Error(`${file} is read late, so it must export functions alone, not '${words}'`);
    return name;
  });
  return names.map((name) => `export const ${name} = (...args) => ${own}.${name}(...args);`).join("\n");
}

async function bundle(architecture, version, entry) {
  const result = await build({
    absWorkingDir: root,
    entryPoints: { main: entry },
    bundle: true,
    write: false,
    format: "esm",
    splitting: true,
    outdir: "units",
    chunkNames: "[hash]",
    platform: "neutral",
    target: "es2022",
    supported: { using: false },
    minify: true,
    inject: ["src/sys/quickjs/globals.ts"],
    define: { VERSION: JSON.stringify(version), "process.arch": JSON.stringify(architecture) },
    plugins: [ownModules, lateModules],
    logLevel: "warning",
  });
  for (const { text } of result.outputFiles) {
    const foreign = /(?<![.\w$])(?:Bun|process|Buffer|setTimeout|structuredClone)[.(]/.exec(text);
    if (foreign)
      throw new Error(`the small program has no '${foreign[0]}': ${text.substr(foreign.index - 100, 200)}`);
  }
  // import() that waits, which QuickJS has not
  return result.outputFiles.map(({ path, text }) => ({
    name: basename(path),
    text: text.replaceAll(/\bimport\("\.\/([^"]+)"\)/g, 'host.unit("$1")'),
  }));
}

/** As host.c reads them: a header of 16 bytes, 32 bytes for each unit, then the bytecode. */
function packUnits(units) {
  let offset = 16 + 32 * units.length;
  const header = Buffer.alloc(offset);
  header.writeUInt32LE(units.length, 0);
  const padded = units.map(({ name, bytes }, index) => {
    const at = 16 + 32 * index;
    if (name.length > 23) throw new Error(`name of unit ${name} is too long`);
    header.write(name, at);
    header.writeUInt32LE(offset, at + 24);
    header.writeUInt32LE(bytes.length, at + 28);
    const space = Buffer.alloc(Math.ceil(bytes.length / 16) * 16);
    bytes.copy(space);
    offset += space.length;
    return space;
  });
  return Buffer.concat([header, ...padded]);
}

/**
 * `architecture`: x64 or arm64, as Node.js names them. `symbols`: keep them, for a profile. `sanitize`: with the address
 * and undefined behaviour sanitizers, dynamically linked with glibc. `entry`: another module than the program's, for tests.
 */
export async function buildSmall(
  outfile,
  architecture,
  version,
  { symbols = false, sanitize = false, entry = "src/main.ts" } = {},
) {
  mkdirSync(join(root, "build"), { recursive: true });
  const source = fetchEngine();
  const work = mkdtempSync(join(root, "build/program."));
  try {
    const compiler = join(work, "compiler");
    compileHost(source, COMPILERS[process.arch], compiler, ["-DCOMPILER"]);
    const units = (await bundle(architecture, version, entry)).map(({ name, text }) => {
      const file = join(work, name);
      writeFileSync(file, text);
      run(compiler, [file, name, `${file}.bin`]);
      return { name, bytes: readFileSync(`${file}.bin`) };
    });
    writeFileSync(join(work, "units.bin"), packUnits(units));
    const program = join(work, "veneer");
    const target = sanitize ? SANITIZED : COMPILERS[architecture];
    compileHost(source, target, program, [`-Wa,-I${work}`, ...(symbols || sanitize ? [] : ["-s"])]);
    renameSync(program, outfile);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}
