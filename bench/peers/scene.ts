/** What peers share: a Debian as a tree, as the base `debian` and as an image, and engines that end with them. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { makeImage } from "../../test/helpers/app-image.ts";
import { plantBase } from "../../test/helpers/base.ts";
import { type Host, must } from "../../test/helpers/host.ts";
import { CannotRun } from "../compile.ts";
import { emptyStore, has, mountPoints, PATH, type Setting, unmountBelow } from "../context.ts";
import { debianTree } from "./debian.ts";

export interface Scene {
  readonly setting: Setting;
  readonly tree: string;
  readonly host: Host;
  /** The archive of an OCI image of the tree, made at the first call; its layout is beside it. */
  image(): Promise<Image>;
  /** Called at the end, the last one first, also where a peer failed. */
  atEnd(action: () => unknown): void;
}

export interface Image {
  readonly archive: string;
  readonly layout: string;
}

const UNIFIED = "/sys/fs/cgroup/unified";

/** Calls `action` in a scene, and takes it down afterwards, whatever fails. Throws what failed first. */
export async function inScene<T>(setting: Setting, action: (scene: Scene) => Promise<T>): Promise<T> {
  const tree = debianTree();
  const dir = join(setting.dir, "peers");
  mkdirSync(join(dir, "bin"), { recursive: true });
  const host = { dir, bin: join(dir, "bin"), root: setting.root, run: setting.run, path: PATH } as Host;
  plantBase(host, "debian", tree);
  let image: Promise<Image> | undefined;
  const ends: (() => unknown)[] = [
    () => unmountBelow(setting, dir),
    () => emptyStore(setting),
    // others may have a scene after this one
    () => must("rm", ["-rf", "--one-file-system", dir]),
  ];
  const scene: Scene = {
    setting,
    tree,
    host,
    image: () => {
      image ??= pack(dir, tree);
      return image;
    },
    atEnd: (end) => ends.unshift(end),
  };
  const failures: unknown[] = [];
  let result: T | undefined;
  try {
    // crun refuses a host with control groups v1 that has the v2 hierarchy beside them
    if (mountPoints().includes(UNIFIED)) {
      await must("umount", [UNIFIED]);
      ends.push(() => must("mount", ["-t", "cgroup2", "cgroup2", UNIFIED]));
    }
    result = await action(scene);
  } catch (error) {
    failures.push(error);
  }
  for (const end of ends) {
    try {
      await end();
    } catch (error) {
      failures.push(error);
    }
  }
  if (failures.length > 0) throw failures[0];
  return result as T;
}

async function pack(dir: string, tree: string): Promise<Image> {
  const missing = ["skopeo", "umoci", "jq"].filter((program) => !has(program));
  if (missing.length > 0) throw new CannotRun(`not installed: ${missing.join(", ")}`);
  const directory = join(dir, "image");
  mkdirSync(directory);
  const archive = await makeImage(directory, "debian", tree, ["--config.cmd", "/bin/true"]);
  return { archive, layout: join(directory, "debian-layout") };
}
