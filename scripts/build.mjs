// Builds dist/: schemas to standalone validators, then the small program that engines call (build-small.mjs), the large
// one for all else, and the names of the small one beside them. Flags and their reasons: docs/security.md. Bun accepts unknown flags
// silently, so a test runs the built file in a hostile working directory.
//
// usage: build.mjs [--schemas-only | --arm64 RUNTIME]    RUNTIME: the bun executable of @oven/bun-linux-aarch64;
// the programs then go to dist/arm64/.
import { execFileSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import Ajv from "ajv";
import standalone from "ajv/dist/standalone/index.js";
import { buildSmall } from "./build-small.mjs";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const generated = join(root, "src/generated");
const require = createRequire(import.meta.url);

function buildValidators() {
  mkdirSync(generated, { recursive: true });
  for (const file of readdirSync(join(root, "schemas"))) {
    const text = readFileSync(join(root, "schemas", file), "utf8");
    // what is for readers would be in the programs, as a part of the code
    const schema = JSON.parse(text, (key, value) =>
      key === "description" && typeof value === "string" ? undefined : value,
    );
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

function compileLarge(outfile, target = []) {
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
    "--format=esm",
    "--compile-jit-policy=1000",
    `--define=VERSION=${JSON.stringify(version())}`,
    ...target,
    "src/cli.ts",
    "--outfile",
    outfile,
  ];
  execFileSync(bun, flags, { cwd: root, stdio: ["ignore", "ignore", "inherit"] });
}

function version() {
  return JSON.parse(readFileSync(join(root, "package.json"), "utf8")).version;
}

/** The names by which engines call the small program. */
function linkNames(dist) {
  for (const name of ["veneer-runc", "veneer-crun", "veneer-release"]) {
    rmSync(join(dist, name), { force: true });
    symlinkSync("veneer", join(dist, name));
  }
}

const arm64 = process.argv.indexOf("--arm64");
const dist = join(root, arm64 < 0 ? "dist" : "dist/arm64");
buildValidators();
if (!process.argv.includes("--schemas-only")) {
  mkdirSync(dist, { recursive: true });
  if (arm64 < 0) {
    await buildSmall(join(dist, "veneer"), "x64", version());
    compileLarge(join(dist, "veneer-cli"));
  } else {
    const runtime = process.argv[arm64 + 1];
    await buildSmall(join(dist, "veneer"), "arm64", version());
    compileLarge(join(dist, "veneer-cli"), [
      "--target=bun-linux-arm64",
      `--compile-executable-path=${runtime}`,
    ]);
  }
  linkNames(dist);
}
