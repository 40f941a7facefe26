/** What ten images of the same files take of disk and page cache in engines, whose layers share files only as a whole. */
import { execFileSync } from "node:child_process";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { CLIENT, startDocker } from "../../test/helpers/docker.ts";
import type { Host } from "../../test/helpers/host.ts";
import { makePodman } from "../../test/helpers/podman.ts";
import { CannotRun } from "../compile.ts";
import { has, PATH } from "../context.ts";

/** Bytes. */
export interface Usage {
  readonly disk: number;
  readonly cache: number;
}

interface Engine {
  readonly name: string;
  readonly program: string;
  readonly make: (host: Host) => Promise<Running>;
}

interface Running {
  readonly command: string;
  readonly env: Readonly<Record<string, string>>;
  /** where it keeps images */
  readonly images: string;
  stop(): Promise<unknown>;
}

export const ENGINES: readonly Engine[] = [
  { name: "podman", program: "podman", make: podman },
  { name: "Docker", program: "dockerd", make: docker },
];

/** Makes an image of each system, and runs a container on each that reads all of it. Throws where it cannot. */
export async function measureEngine(
  { program, make }: Engine,
  dir: string,
  systems: readonly string[],
  read: readonly string[],
  cacheOf: (action: () => void, warm: () => void) => number,
): Promise<Usage> {
  if (!has(program)) throw new CannotRun("not installed");
  const place = join(dir, program);
  mkdirSync(join(place, "bin"), { recursive: true });
  const host = { dir: place, bin: join(place, "bin"), root: place, run: place, path: PATH } as Host;
  const engine = await make(host);
  try {
    const call = (words: readonly string[]) =>
      execFileSync(engine.command, words, { env: engine.env, stdio: "ignore" });
    const image = (index: number) => `localhost/system${index}:1`;
    const before = diskOf(engine.images);
    for (const [index, system] of systems.entries()) {
      const script = 'tar -C "$1" -c . | "$2" import - "$3"';
      execFileSync("sh", ["-c", script, "sh", system, engine.command, image(index)], {
        env: engine.env,
        stdio: "ignore",
      });
    }
    const disk = diskOf(engine.images) - before;
    const run = (index: number, words: readonly string[]) =>
      call(["run", "--rm", "--network", "none", image(index), ...words]);
    const cache = cacheOf(
      () => {
        for (const index of systems.keys()) run(index, read);
      },
      () => run(0, ["/bin/true"]),
    );
    return { disk, cache };
  } finally {
    await engine.stop();
  }
}

const diskOf = (directory: string) =>
  Number(execFileSync("du", ["-sxB1", directory], { encoding: "utf8" }).split("\t")[0]);

async function podman(host: Host): Promise<Running> {
  const { env, removeAll } = await makePodman(host);
  return { command: "podman", env, images: join(host.dir, "podman/graph/overlay"), stop: removeAll };
}

async function docker(host: Host): Promise<Running> {
  const { dataRoot, stop } = await startDocker(host);
  const dir = join(host.dir, "docker");
  const env = { PATH, DOCKER_HOST: `unix://${dir}/docker.sock`, DOCKER_CONFIG: dir };
  return { command: CLIENT, env, images: join(dataRoot, "overlay2"), stop };
}
