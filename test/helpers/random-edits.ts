/** Changes of all kinds to a tree, from a seed: few names, so that they meet each other. */
import { execFileSync } from "node:child_process";
import {
  appendFileSync,
  chmodSync,
  chownSync,
  linkSync,
  lstatSync,
  lutimesSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";

/** A generator of whole numbers below `limit` (mulberry32). */
export function randomNumbers(seed: number): (limit: number) => number {
  let state = seed;
  return (limit) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) % limit;
  };
}

const NAMES = ["a", "b", "c d", "ü"];

/** Makes `count` changes below `root`; one that cannot be made (a name in the way, a rename of a merged directory) is none. */
export function editAtRandom(root: string, random: (limit: number) => number, count: number): void {
  const pick = (depth = 1 + random(4)) => {
    const parts = Array.from({ length: depth }, () => NAMES[random(NAMES.length)] as string);
    return join(root, ...parts);
  };
  const edits: (() => void)[] = [
    () => mkdirSync(pick(), { recursive: true }),
    () => mkdirSync(pick(), { recursive: true }),
    () => writeFileSync(pick(), `${random(1e9)}`),
    () => writeFileSync(pick(), `${random(1e9)}`),
    () => writeFileSync(pick(), `${random(1e9)}`),
    () => appendFileSync(pick(), "more"),
    () => rmSync(pick(), { recursive: true, force: true }),
    () => rmSync(pick(), { recursive: true, force: true }),
    () => {
      const path = pick(1 + random(3));
      rmSync(path, { recursive: true, force: true });
      mkdirSync(path);
    },
    () => {
      const path = pick();
      rmSync(path, { recursive: true, force: true });
      writeFileSync(path, "in its place");
    },
    () => renameSync(pick(), pick()),
    () => renameSync(pick(), pick()),
    () => linkSync(pick(), pick()),
    () => symlinkSync(`../${random(9)}`, pick()),
    () => chmodSync(pick(), [0o700, 0o1777, 0o2755, 0o644][random(4)] as number),
    () => chownSync(pick(), random(3), random(3)),
    () => lutimesSync(pick(), random(1e9), random(1e9)),
    () => void execFileSync("mknod", [pick(), "c", "1", "3"], { stdio: "ignore" }),
    () =>
      void execFileSync("setfattr", ["-n", `user.${random(2)}`, "-v", `${random(9)}`, pick()], {
        stdio: "ignore",
      }),
    () => void execFileSync("setfattr", ["-x", `user.${random(2)}`, pick()], { stdio: "ignore" }),
    () => void execFileSync("setfacl", ["-m", `u:${random(3)}:rx`, pick()], { stdio: "ignore" }),
    () => void execFileSync("setfacl", ["-d", "-m", `u:${random(3)}:rx`, pick()], { stdio: "ignore" }),
    () => chmodSync(root, random(2) === 0 ? 0o755 : 0o711),
    () => {
      const [from, to] = [pick(1), pick(2)];
      if (lstatSync(from).isDirectory())
        for (const name of readdirSync(from)) renameSync(join(from, name), join(to, name));
    },
  ];
  for (let made = 0; made < count; made++) {
    try {
      (edits[random(edits.length)] as () => void)();
    } catch {
      // refused, as intended
    }
  }
}
