// Runs torture/main.ts on Node.js: esbuild bundles it, with no packages in it and with nothing that makes system calls, as
// vitest has the pure modules. The bundle lies two directories deep, as test/helpers do, which find the project from there.
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { build } from "esbuild";

const root = join(import.meta.dirname, "..");
mkdirSync(join(root, "build"), { recursive: true });
const directory = mkdtempSync(join(root, "build/torture-"));
process.on("exit", () => rmSync(directory, { recursive: true, force: true }));
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => process.exit(1));
const outfile = join(directory, "main.mjs");
await build({
  absWorkingDir: root,
  entryPoints: ["torture/main.ts"],
  outfile,
  bundle: true,
  platform: "node",
  format: "esm",
  target: "node20",
  packages: "external",
  logLevel: "warning",
  plugins: [
    {
      name: "pure",
      setup({ onResolve }) {
        onResolve({ filter: /^\.\/primitive\.ts$/ }, () => ({
          path: join(root, "test/helpers/no-system-calls.ts"),
        }));
        // verbs, which only their names are wanted of
        onResolve({ filter: /./ }, ({ kind, path }) =>
          kind === "dynamic-import" ? { path, external: true } : undefined,
        );
      },
    },
  ],
});
await import(outfile);
