/**
 * Checks manifests against the API's published schemas: the OpenAPI document of Kubernetes as TypeScript's types
 * (kubernetes-types), which also refuse fields that the API does not know. Asks the compiler once for all.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Manifest } from "./daemonset.ts";
import { PROJECT, sh } from "./host.ts";

/** For each manifest what is wrong with it, empty when nothing is. */
export async function schemaErrors(manifests: readonly Manifest[]): Promise<string[]> {
  const dir = mkdtempSync(join(tmpdir(), "veneer-schemas-"));
  try {
    for (const [index, manifest] of manifests.entries()) {
      writeFileSync(join(dir, `m${index}.ts`), asTypescript(manifest));
    }
    const paths = { "kubernetes-types/*": [join(PROJECT, "node_modules/kubernetes-types/*")] };
    const compilerOptions = { strict: true, noEmit: true, skipLibCheck: true, types: [], module: "esnext" };
    const options = { ...compilerOptions, moduleResolution: "bundler", paths };
    writeFileSync(
      join(dir, "tsconfig.json"),
      JSON.stringify({ compilerOptions: options, include: ["m*.ts"] }),
    );
    const outcome = await sh(join(PROJECT, "node_modules/.bin/tsc"), ["-p", dir, "--pretty", "false"], {
      cwd: dir,
    });
    const lines = outcome.stdout.split("\n");
    const found = manifests.map((_, index) =>
      lines.filter((line) => line.startsWith(`m${index}.ts(`)).join("\n"),
    );
    if (outcome.status !== 0 && found.every((text) => text === "")) throw new Error(outcome.stdout);
    return found;
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

function asTypescript(manifest: Manifest): string {
  const { apiVersion, kind } = manifest;
  const module = apiVersion === "v1" ? "core/v1" : `${apiVersion}`.replace(/(\.[a-z0-9]+)*\//, "/");
  const type = `import type { ${kind} as Kind } from "kubernetes-types/${module}";`;
  return `${type}\nexport const manifest: Kind = ${JSON.stringify(manifest, undefined, 1)};\n`;
}
