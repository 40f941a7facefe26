/** What podman passes to a hook beyond the specification. */
import type { BundleConfig } from "./oci-config.ts";

/** `/libpod_parent/libpod-ID`, with systemd `machine.slice:libpod:ID` */
const CGROUP = /(?:^|[/:])libpod[-:]([0-9a-f]{64})$/;
const BUNDLE = /\/overlay-containers\/([0-9a-f]{64})\/userdata$/;

/**
 * The id of the container whose config.json podman passes to a precreate hook. podman does not pass the id itself, but
 * it is in the name of the container's cgroup and, since podman 5, in the working directory. Undefined where it is in
 * neither (podman 4 with --cgroups=disabled or split). Users of podman can choose neither.
 */
export function containerIdOf(config: BundleConfig, workingDirectory: string): string | undefined {
  return CGROUP.exec(config.linux?.cgroupsPath ?? "")?.[1] ?? BUNDLE.exec(workingDirectory)?.[1];
}
