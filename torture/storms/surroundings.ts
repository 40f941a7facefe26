/** What a storm can leave on the machine, outside of its store. */
import { readdirSync, readFileSync, statfsSync } from "node:fs";
import { join } from "node:path";
import { mountTable } from "../../test/helpers/mounts.ts";
import { waitFor } from "../../test/helpers/wait.ts";
import type { World } from "../faults/world.ts";

export interface Surroundings {
  readonly mounts: readonly string[];
  /** how many this process has */
  readonly descriptors: number;
  readonly records: readonly string[];
  /** control groups of `veneer run` without a process: those of a killed runc are runc's */
  readonly groups: readonly string[];
  /** how many files the world's file system has */
  readonly files: number;
}

const namesIn = (path: string) => {
  try {
    return readdirSync(path);
  } catch {
    return [];
  }
};

export function surroundings({ memory, host, dir }: World): Surroundings {
  const { files, ffree } = statfsSync(memory);
  return {
    mounts: mountTable().filter((line) => line.includes(`${dir}/`)),
    descriptors: namesIn("/proc/self/fd").length,
    records: namesIn(join(host.run, "records")),
    groups: emptyGroups(),
    files: files - ffree,
  };
}

/** What is there and was not before, once what ends by itself has ended. */
export async function leftSince(world: World, before: Surroundings): Promise<string[]> {
  const found = () => {
    const now = surroundings(world);
    const more = now.descriptors - before.descriptors;
    return [
      ...(["mounts", "records", "groups"] as const).flatMap((kind) =>
        now[kind].filter((one) => !before[kind].includes(one)).map((one) => `${kind}: ${one}`),
      ),
      ...(more > 0 ? [`${more} descriptors`] : []),
    ];
  };
  await waitFor(() => found().length === 0, 10_000).catch(() => undefined);
  return found();
}

/** Below /sys/fs/cgroup; those of other containers on the machine have processes, or go by themselves. */
function emptyGroups(directory = "/sys/fs/cgroup", depth = 0): string[] {
  return namesIn(directory).flatMap((name) => {
    const path = join(directory, name);
    if (/^veneer-.*~[0-9a-f]{16}$/.test(name) && isEmpty(path)) return [path];
    return depth < 3 && !name.includes(".") ? emptyGroups(path, depth + 1) : [];
  });
}

function isEmpty(group: string): boolean {
  try {
    return readFileSync(join(group, "cgroup.procs"), "utf8") === "";
  } catch {
    return false; // it is gone
  }
}
