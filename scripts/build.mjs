// Builds dist/: schemas to standalone validators, then one native executable, and the scripts beside it.
// Flags and their reasons: docs/security.md. Unknown flags are accepted silently by the compiler, so a
// test runs the built file in a hostile working directory.
//
// usage: build.mjs [--schemas-only | --arm64 RUNTIME]    RUNTIME: the bun executable of @oven/bun-linux-aarch64;
// the program then goes to dist/arm64/, without an order of its bytecode, since it cannot be run here.
import { execFileSync } from "node:child_process";
import {
  chmodSync,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import Ajv from "ajv";
import standalone from "ajv/dist/standalone/index.js";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const generated = join(root, "src/generated");
const require = createRequire(import.meta.url);

function buildValidators() {
  mkdirSync(generated, { recursive: true });
  for (const file of readdirSync(join(root, "schemas"))) {
    const schema = JSON.parse(readFileSync(join(root, "schemas", file), "utf8"));
    const ajv = new Ajv({
      code: { source: true, esm: true, lines: false },
      strictTypes: false,
      messages: true,
    });
    const name = file.replace(/\.json$/, "");
    const code = standalone.default(ajv, ajv.compile(schema));
    writeFileSync(join(generated, `${name}.js`), `${code}\n`);
    writeFileSync(
      join(generated, `${name}.d.ts`),
      'import type { ErrorObject } from "ajv";\n' +
        "declare const validate: ((data: unknown) => boolean) & { errors?: ErrorObject[] | null };\n" +
        "export default validate;\n",
    );
  }
}

/** `order`: files that say in which order to lay out the bytecode, so that a start touches fewer pages. */
function compile(outfile, order, target = []) {
  const bun = join(dirname(require.resolve("@oven/bun-linux-x64/package.json")), "bin/bun");
  const flags = [
    "build",
    "--compile",
    "--splitting", // a verb's code, and node:fs with it, is read when the verb is called
    "--no-compile-autoload-bunfig",
    "--no-compile-autoload-dotenv",
    "--no-compile-autoload-tsconfig",
    "--no-compile-autoload-package-json",
    "--reject-unresolved",
    "--minify",
    "--bytecode",
    ...(order.length > 0 ? [`--bytecode-order=${order.join(",")}`] : []),
    "--format=esm",
    "--compile-jit-policy=1000",
    `--define=VERSION=${JSON.stringify(version())}`,
    ...target,
    "src/main.ts",
    "--outfile",
    outfile,
  ];
  execFileSync(bun, flags, { cwd: root, stdio: ["ignore", "ignore", "inherit"] });
}

/** Lets a first build run through what engines call, as root in a mount namespace of its own; none without. */
function recordOrder(program) {
  const dir = mkdtempSync(join(tmpdir(), "veneer-build-"));
  try {
    const script = join(root, "scripts/record-order.sh");
    execFileSync("unshare", ["-m", "--propagation", "private", "sh", script, program, dir], {
      stdio: "pipe",
    });
    compile(
      program,
      readdirSync(dir)
        .filter((name) => name.endsWith(".order"))
        .map((name) => join(dir, name))
        .sort(),
    );
  } catch (error) {
    const reason = String(error.stderr || error.message)
      .trim()
      .split("\n")
      .at(-1);
    console.error(`build: starts are about a tenth slower: no order of bytecode was recorded (${reason})`);
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

function version() {
  return JSON.parse(readFileSync(join(root, "package.json"), "utf8")).version;
}

function copyScripts(dist) {
  const scripts = {
    "veneer-runc": "veneer-runtime.sh",
    "veneer-crun": "veneer-runtime.sh",
    "veneer-release": "veneer-release.sh",
  };
  for (const [name, source] of Object.entries(scripts)) {
    copyFileSync(join(root, "hooks/runtime", source), join(dist, name));
    chmodSync(join(dist, name), 0o755);
  }
}

const arm64 = process.argv.indexOf("--arm64");
const dist = join(root, arm64 < 0 ? "dist" : "dist/arm64");
buildValidators();
if (!process.argv.includes("--schemas-only")) {
  mkdirSync(dist, { recursive: true });
  if (arm64 < 0) {
    compile(join(dist, "veneer"), []);
    recordOrder(join(dist, "veneer"));
  } else {
    const runtime = process.argv[arm64 + 1];
    compile(join(dist, "veneer"), [], ["--target=bun-linux-arm64", `--compile-executable-path=${runtime}`]);
  }
  copyScripts(dist);
}
