/** What podman tells a hook beside the specification. */
import type { BundleConfig } from "./oci-config.ts";

/** `/libpod_parent/libpod-ID`, with systemd `machine.slice:libpod:ID` */
const CGROUP = /(?:^|[/:])libpod[-:]([0-9a-f]{64})$/;
const BUNDLE = /\/overlay-containers\/([0-9a-f]{64})\/userdata$/;

/**
 * The id of the container whose config.json podman gives to a precreate hook. It is told nowhere as such, but is
 * in the name of the container's cgroup and, from podman 5 on, in the working directory. Undefined where it is
 * in neither (podman 4 with --cgroups=disabled or split). Users of podman can write neither.
 */
export function containerIdOf(config: BundleConfig, workingDirectory: string): string | undefined {
  return CGROUP.exec(config.linux?.cgroupsPath ?? "")?.[1] ?? BUNDLE.exec(workingDirectory)?.[1];
}
