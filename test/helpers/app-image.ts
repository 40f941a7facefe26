/** A small OCI image, made by umoci. */
import { appendFileSync } from "node:fs";
import { join } from "node:path";
import { must } from "./host.ts";

/** Makes DIR/NAME.tar, an OCI archive with the tag `latest`, of the tree at `tree`; returns its path. */
export async function makeImage(
  dir: string,
  name: string,
  tree: string,
  config: readonly string[] = [],
): Promise<string> {
  const layout = join(dir, `${name}-layout`);
  const archive = join(dir, `${name}.tar`);
  await must("umoci", ["init", "--layout", layout]);
  await must("umoci", ["new", "--image", `${layout}:latest`]);
  await must("umoci", ["insert", "--image", `${layout}:latest`, tree, "/"]);
  await must("umoci", [
    "config",
    "--image",
    `${layout}:latest`,
    "--config.env",
    "PATH=/bin:/usr/bin",
    ...config,
  ]);
  await must("tar", ["-C", layout, "-cf", archive, "."]);
  return archive;
}

/** Says in a tree which it is: `cat /etc/which` tells a base from an image. */
export function label(tree: string, text: string): string {
  appendFileSync(join(tree, "etc/which"), `${text}\n`);
  return tree;
}
