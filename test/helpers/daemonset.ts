/** The manifests of hooks/kubernetes, read. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { must, PROJECT } from "./host.ts";

const BUN = join(PROJECT, "node_modules/@oven/bun-linux-x64/bin/bun");
export const MANIFESTS = join(PROJECT, "hooks/kubernetes");

// biome-ignore lint/suspicious/noExplicitAny: what a document holds is what the tests find out
export type Manifest = any;

/** The documents of a YAML text. Bun, which builds the program, has a parser. */
export async function parseYaml(text: string): Promise<Manifest[]> {
  const code = "console.log(JSON.stringify([Bun.YAML.parse(await Bun.stdin.text())].flat()))";
  return JSON.parse(await must(BUN, ["-e", code], { input: text }));
}

export const readManifests = (path: string) => parseYaml(readFileSync(join(MANIFESTS, path), "utf8"));

/** What the DaemonSet gives its containers. */
export interface Daemonset {
  readonly capabilities: readonly string[];
  readonly hostPaths: readonly string[];
}

export async function readDaemonset(): Promise<Daemonset> {
  const [daemonset] = await readManifests("install/daemonset.yaml");
  const { initContainers, volumes } = daemonset.spec.template.spec;
  return {
    capabilities: initContainers[0].securityContext.capabilities.add,
    hostPaths: volumes.flatMap((volume: Manifest) => volume.hostPath?.path ?? []),
  };
}
