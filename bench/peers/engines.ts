/** Peers that are engines with images: podman, Docker, containerd's ctr. */
import { join } from "node:path";
import { CLIENT, type Docker, startDocker } from "../../test/helpers/docker.ts";
import { must } from "../../test/helpers/host.ts";
import { makePodman, type Podman } from "../../test/helpers/podman.ts";
import { has, PATH } from "../context.ts";
import type { Candidate } from "./peers.ts";
import type { Scene } from "./scene.ts";

export const IMAGE = "localhost/debian:1";

/** A podman of its own that has the image, until the scene ends. */
export async function podmanWithImage({ host, atEnd, image }: Scene): Promise<Podman> {
  const { archive } = await image();
  const podman = await makePodman(host);
  atEnd(() => podman.removeAll());
  const store = `[overlay@${join(host.dir, "podman/graph")}+${join(host.dir, "podman/run")}]`;
  await copy(archive, `containers-storage:${store}${IMAGE}`);
  return podman;
}

/** A Docker daemon of its own that has the image, until the scene ends; and the image as Docker saves one. */
export async function dockerWithImage(scene: Scene): Promise<{ docker: Docker; saved: string }> {
  const { archive } = await scene.image();
  const docker = await startDocker(scene.host);
  scene.atEnd(() => docker.stop());
  const saved = join(scene.host.dir, "image/docker.tar");
  await copy(archive, `docker-archive:${saved}:${IMAGE}`);
  const loaded = await docker.docker("load", "--quiet", "--input", saved);
  if (loaded.status !== 0) throw new Error(`docker load: ${loaded.stderr}`);
  return { docker, saved };
}

const copy = (archive: string, to: string) =>
  must("skopeo", ["copy", "-q", `oci-archive:${archive}:latest`, to]);

export async function podmanPeers(scene: Scene): Promise<Candidate[]> {
  if (!has("podman")) return [{ name: "podman run IMAGE", missing: "not installed" }];
  const { env } = await podmanWithImage(scene);
  const run = ["podman", "run", "--rm", "--network", "none"];
  const peer = { kind: "private", goal: 1 / 5, env } as const;
  return [
    { ...peer, name: "podman run IMAGE", command: [...run, IMAGE, "/bin/true"] },
    {
      ...peer,
      name: "podman run --rootfs DIRECTORY:O",
      command: [...run, "--rootfs", `${scene.tree}:O`, "/bin/true"],
    },
  ];
}

/** Docker and ctr, on one containerd. */
export async function dockerPeers(scene: Scene): Promise<Candidate[]> {
  if (!has("dockerd")) return [{ name: "docker run IMAGE", missing: "not installed" }];
  const { saved } = await dockerWithImage(scene);
  const { dir: place } = scene.host;
  const dir = join(place, "docker");
  const ctr = ["ctr", "--address", join(place, "containerd/containerd.sock")];
  await must("ctr", [...ctr.slice(1), "images", "import", saved], { env: { PATH } });
  let count = 0;
  const fifos = ["--fifo-dir", join(place, "containerd/fifo")];
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
