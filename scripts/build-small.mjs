// Builds the small program: esbuild bundles src/main.ts for a run time without any interface, QuickJS turns the bundle
// into bytecode, and a C compiler makes one static executable of the engine and host.c. That evaluates the bytecode once,
// here, and its heap afterwards becomes part of the executable. The same sources give the same bytes. The engine's
// objects are kept in build/, by version, compiler and flags.
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const own = join(root, "src/sys/quickjs");
const SOURCES = ["quickjs", "libregexp", "libunicode", "dtoa", "cutils"];
const COMPILE = [
  "-O2",
  "-fwrapv",
  "-ffunction-sections",
  "-fdata-sections",
  "-fno-asynchronous-unwind-tables",
  "-D_GNU_SOURCE",
  "-std=gnu11",
];
// few mappings, one behind the other: host.c names their pages to the kernel
const LINK = ["-static", "-Wl,--gc-sections,--build-id=none,-z,noseparate-code,-z,norelro"];

/** The compiler for an architecture, as Node.js names it: its program, and what is added to its flags. */
function compilerFor(architecture) {
  if (architecture === process.arch)
    return { cc: "musl-gcc", flags: architecture === "x64" ? ["-march=x86-64"] : [], objcopy: "objcopy" };
  const specs = run("bash", ["scripts/fetch-musl.sh", architecture]).trim();
  return {
    cc: "aarch64-linux-gnu-gcc",
    flags: [`-specs=${specs}`],
    objcopy: "aarch64-linux-gnu-objcopy",
  };
}

/** Without the allocator of host.c, which would hide from the sanitizer what is used after it was freed. */
const SANITIZED = {
  cc: "gcc",
  flags: ["-g", "-fno-omit-frame-pointer", "-fsanitize=address,undefined", "-DSANITIZED"],
  link: ["-Wl,--gc-sections"],
};

/** For libFuzzer, which learns from what an input reaches; what the sanitizers find ends the run. */
const FUZZED = {
  cc: "clang",
  version: "--version",
  flags: [
    ...["-g", "-fno-omit-frame-pointer", "-fsanitize=fuzzer-no-link,address,undefined"],
    ...["-fno-sanitize-recover=undefined", "-DSANITIZED"],
  ],
  link: ["-fsanitize=fuzzer,address,undefined"],
};

function run(command, args, options = {}) {
  return execFileSync(command, args, {
    cwd: root,
    encoding: "utf8",
    stdio: ["ignore", "pipe", "inherit"],
    ...options,
  });
}

function fetchEngine(architecture) {
  run("bash", ["scripts/install-build-deps.sh", ...(architecture === process.arch ? [] : [architecture])]);
  return run("bash", ["scripts/fetch-quickjs.sh"]).trim();
}

/** The engine's objects, made once for each version, compiler and set of flags. Publishes by rename. */
function engineObjects(source, { cc, flags, version: asked = "-dumpfullversion" }) {
  const version = readFileSync(join(source, "VERSION"), "utf8").trim();
  const all = [...COMPILE, ...flags, `-DCONFIG_VERSION="${version}"`];
  const about = [version, cc, run(cc, [asked]), ...all].join("\n");
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

function compileHost(source, compiler, outfile, more, main = join(own, "host.c")) {
  const { objects, flags } = engineObjects(source, compiler);
  const common = ["-Wall", "-Wextra", "-Wno-unused-parameter", "-isystem", source];
  run(compiler.cc, [
    ...flags,
    ...common,
    ...more,
    main,
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

async function bundle(architecture, version, entry) {
  const result = await build({
    absWorkingDir: root,
    entryPoints: [entry],
    bundle: true,
    write: false,
    format: "iife",
    platform: "neutral",
    target: "es2022",
    supported: { using: false },
    minify: true,
    inject: ["src/sys/quickjs/globals.ts"],
    define: { VERSION: JSON.stringify(version), "process.arch": JSON.stringify(architecture) },
    plugins: [ownModules],
    logLevel: "warning",
  });
  const text = result.outputFiles[0].text;
  // a number from Math.random would be the same in each process; import() becomes a promise, which nothing here waits for
  const foreign =
    /(?<![.\w$])(?:(?:Bun|process|Buffer|setTimeout|structuredClone)[.(]|Math\.random|Promise\.resolve\(\))/.exec(
      text,
    );
  if (foreign)
    throw new Error(`the small program has no '${foreign[0]}': ${text.substr(foreign.index - 100, 200)}`);
  return text;
}

/** Room for a heap when its size is not known yet. */
const HEAP_SIZE = 2 << 20;

/** Links the program and puts into it the heap that it makes of the bytecode: a second time with just the room it needs. */
function linkWithHeap(source, compiler, runner, work, outfile, flags) {
  const bytecode = readFileSync(join(work, "bytecode"));
  const heap = (size) => {
    compileHost(source, compiler, outfile, [`-DHEAP_SIZE=${size}`, "-Wl,--wrap=gettimeofday", ...flags]);
    const [command, ...args] = [...runner, outfile];
    return execFileSync(command, args, { input: bytecode, env: {}, maxBuffer: HEAP_SIZE * 2 });
  };
  const file = join(work, "heap");
  writeFileSync(file, heap(heap(HEAP_SIZE).findLastIndex((byte) => byte !== 0)));
  run(compiler.objcopy, ["--update-section", `.heap=${file}`, outfile]);
}

/**
 * `architecture`: x64 or arm64, as Node.js names them. `symbols`: keep them, for a profile. `sanitize`: with the address
 * and undefined behaviour sanitizers, dynamically linked with glibc. `entry`: another module than the program's, for tests.
 */
export async function buildSmall(
  outfile,
  architecture,
  version,
  { symbols = false, sanitize = false, fuzz, entry = "src/main.ts" } = {},
) {
  mkdirSync(join(root, "build"), { recursive: true });
  const source = fetchEngine(architecture);
  const work = mkdtempSync(join(root, "build/program."));
  try {
    const compiler = join(work, "compiler");
    compileHost(source, compilerFor(process.arch), compiler, ["-DCOMPILER"]);
    const text = join(work, "bundle.js");
    writeFileSync(text, await bundle(architecture, version, entry));
    run(compiler, [text, join(work, "bytecode")]);
    const program = join(work, "veneer");
    if (fuzz) compileHost(source, FUZZED, program, ["-DHEAP_SIZE=16", `-Wa,-I${work}`], fuzz);
    else if (sanitize) compileHost(source, SANITIZED, program, ["-DHEAP_SIZE=16", `-Wa,-I${work}`]);
    else {
      const runner = architecture === process.arch ? [] : ["qemu-aarch64-static"];
      linkWithHeap(source, compilerFor(architecture), runner, work, program, symbols ? [] : ["-s"]);
    }
    renameSync(program, outfile);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}
