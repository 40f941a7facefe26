/** Peers that are engines with images: podman, Docker, containerd's ctr. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { makeImage } from "../test/helpers/app-image.ts";
import { CLIENT, startDocker } from "../test/helpers/docker.ts";
import { must } from "../test/helpers/host.ts";
import { makePodman } from "../test/helpers/podman.ts";
import { has, PATH } from "./context.ts";
import type { Candidate } from "./peer-tools.ts";
import type { Scene } from "./peers.ts";

const IMAGE = "localhost/debian:1";

export async function imageEngines(scene: Scene): Promise<Candidate[]> {
  const missing = ["skopeo", "umoci", "jq"].filter((program) => !has(program));
  if (missing.length > 0)
    return [{ name: "podman, Docker, ctr", missing: `not installed: ${missing.join(", ")}` }];
  const directory = join(scene.host.dir, "image");
  mkdirSync(directory);
  const archive = await makeImage(directory, "debian", scene.tree, ["--config.cmd", "/bin/true"]);
  return [...(await podmanPeers(scene, archive)), ...(await dockerPeers(scene, archive))];
}

async function podmanPeers({ host, tree, atEnd }: Scene, archive: string): Promise<Candidate[]> {
  if (!has("podman")) return [{ name: "podman run IMAGE", missing: "not installed" }];
  const podman = await makePodman(host);
  atEnd(() => podman.removeAll());
  const store = `[overlay@${join(host.dir, "podman/graph")}+${join(host.dir, "podman/run")}]`;
  await must("skopeo", [
    "copy",
    "-q",
    `oci-archive:${archive}:latest`,
    `containers-storage:${store}${IMAGE}`,
  ]);
  const run = ["podman", "run", "--rm", "--network", "none"];
  return [
    {
      kind: "private",
      name: "podman run IMAGE",
      goal: 1 / 5,
      env: podman.env,
      command: [...run, IMAGE, "/bin/true"],
    },
    {
      kind: "private",
      name: "podman run --rootfs DIRECTORY:O",
      goal: 1 / 5,
      env: podman.env,
      command: [...run, "--rootfs", `${tree}:O`, "/bin/true"],
    },
  ];
}

/** Docker and ctr, on one containerd. */
async function dockerPeers({ host, atEnd }: Scene, archive: string): Promise<Candidate[]> {
  if (!has("dockerd")) return [{ name: "docker run IMAGE", missing: "not installed" }];
  const docker = await startDocker(host);
  atEnd(() => docker.stop());
  const loadable = join(host.dir, "image/docker.tar");
  await must("skopeo", [
    "copy",
    "-q",
    `oci-archive:${archive}:latest`,
    `docker-archive:${loadable}:${IMAGE}`,
  ]);
  const loaded = await docker.docker("load", "--quiet", "--input", loadable);
  if (loaded.status !== 0) throw new Error(`docker load: ${loaded.stderr}`);
  const dir = join(host.dir, "docker");
  const socket = join(host.dir, "containerd/containerd.sock");
  const ctr = ["ctr", "--address", socket];
  await must("ctr", [...ctr.slice(1), "images", "import", loadable], { env: { PATH } });
  let count = 0;
  const fifos = ["--fifo-dir", join(host.dir, "containerd/fifo")];
  return [
    {
      kind: "private",
      name: "docker run IMAGE",
      goal: 1 / 5,
      env: { PATH, DOCKER_HOST: `unix://${dir}/docker.sock`, DOCKER_CONFIG: dir },
      command: [CLIENT, "run", "--rm", "--network", "none", IMAGE, "/bin/true"],
    },
    {
      kind: "private",
      name: "ctr run IMAGE",
      goal: 1 / 3,
      env: { PATH },
      command: () => [...ctr, "run", "--rm", ...fifos, IMAGE, `peer-${process.pid}-${++count}`, "/bin/true"],
    },
  ];
}
