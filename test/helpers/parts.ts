/** Uppers of several parts, as live rebases leave them. */
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Host, must } from "./host.ts";
import { treeManifest } from "./manifest.ts";

export const generationDirectory = (host: Host, id: string, generation = 1) =>
  join(host.root, "instances", id, String(generation));

export const definition = (host: Host, id: string) =>
  JSON.parse(readFileSync(join(host.root, "instances", id, "instance.json"), "utf8"));

/** Gives a stopped instance a further part: what is written from now on goes there. */
export async function addPart(host: Host, id: string): Promise<void> {
  const instance = definition(host, id);
  const directory = generationDirectory(host, id, instance.generation);
  const below = join(directory, instance.parts ? `parts/${instance.parts}` : ".", "upper");
  const part = join(directory, `parts/${(instance.parts ?? 0) + 1}`);
  await must("mkdir", ["-p", "-m", "700", part, join(part, "work")]);
  await must("cp", ["-a", "--attributes-only", "-T", "--no-preserve=xattr", below, join(part, "upper")]);
  await must("find", [join(part, "upper"), "-mindepth", "1", "-delete"]);
  await must("touch", ["-r", below, join(part, "upper")]);
  instance.parts = (instance.parts ?? 0) + 1;
  writeFileSync(join(host.root, "instances", id, "instance.json"), JSON.stringify(instance));
}

/** Names below the generation's `parts`, and how many parts the definition has. */
export function partsOf(host: Host, id: string) {
  const { parts, folded, generation } = definition(host, id);
  const directory = join(generationDirectory(host, id, generation), "parts");
  return { parts, folded, left: existsSync(directory) ? readdirSync(directory).sort() : [] };
}

/** What a container sees, but for the numbers of links: names of a file that are hidden in a lower part count there. */
export async function viewOf(host: Host, id: string): Promise<string> {
  const root = await host.ok("mount", id);
  const text = await treeManifest(root);
  await must("umount", [root]);
  return text
    .split("\n")
    .map((line) => line.replace(/^(.*\|[^d]\|.*\|)[0-9]+$/, "$1"))
    .filter((line) => !/^(.*) is \1$/.test(line))
    .join("\n");
}
