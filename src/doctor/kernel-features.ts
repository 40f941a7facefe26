/**
 * The features of newer kernels that the program uses: what for, since which Linux, and what it does without them.
 * Since distributions backport, kernel-trials.ts tries each one; the versions are for readers only. Pure;
 * docs/kernels.md shows the table.
 */
export interface KernelFeature {
  readonly name: string;
  /** the first Linux that has it */
  readonly since: string;
  readonly use: string;
  /** what the program does when it is missing */
  readonly without: string;
  /** veneer does not work without it */
  readonly required?: true;
}

/** The oldest Linux version that the tests boot. */
export const OLDEST_TESTED = "6.1";

export const KERNEL_FEATURES = [
  {
    name: "mount API",
    since: "5.2",
    use: "mounts by descriptor: fsopen(2), open_tree(2), move_mount(2)",
    without: "every command that mounts is refused",
    required: true,
  },
  {
    name: "openat2",
    since: "5.6",
    use: "paths that a container may have written are resolved inside its root",
    without: "every command that mounts is refused",
    required: true,
  },
  {
    name: "mount_setattr",
    since: "5.12",
    use: "read-only, private and idmapped mounts by descriptor",
    without: "every command that mounts is refused",
    required: true,
  },
  {
    name: "volatile uppers",
    since: "5.10",
    use: "nothing is synced to the upper of an ephemeral container",
    without: "its start is refused",
    required: true,
  },
  {
    name: "overlays of idmapped layers",
    since: "5.19",
    use: "one base for containers with any user namespace",
    without: "such a container is refused, or gets a shifted copy of the base",
  },
  {
    name: "idmapped tmpfs",
    since: "6.3",
    use: "an upper in memory, or a store on a tmpfs, for a container with a user namespace",
    without: "such a container is refused",
  },
  {
    name: "overlayfs judges options one by one",
    since: "6.5",
    use: "what the kernel knows is found without mounting",
    without: "layers are given in one string: at most 106",
  },
  {
    name: "mounts beneath others",
    since: "6.5",
    use: "a live rebase moves mounts that are stacked on one another, and parts of the root that are mounted again",
    without:
      "the rebase of such a container is refused, or leaves those parts on the old root and reports them",
  },
  {
    name: "tmpfs keeps attributes of users",
    since: "6.6",
    use: "an upper in memory, or a store on a tmpfs, for a user without root",
    without: "such a container is refused",
  },
  {
    name: "lowerdir+",
    since: "6.8",
    use: "up to 500 layers, one by one",
    without: "at most 106 layers; longer chains are flattened when a version is stacked on them",
  },
  {
    name: "layers by descriptor",
    since: "6.13",
    use: "mountinfo shows the paths of layers and uppers",
    without: "they are given by paths below /proc/self/fd, which mountinfo shows",
  },
  {
    name: "layers that are mounted nowhere",
    since: "6.15",
    use: "uppers in memory and idmapped layers without a mount namespace for a moment",
    without: "they are attached for a moment, privately, in a mount namespace of their own",
  },
] as const satisfies readonly KernelFeature[];

export type FeatureName = (typeof KERNEL_FEATURES)[number]["name"];

/** The table for docs/kernels.md, in Markdown. */
export function featureTable(): string {
  const rows = KERNEL_FEATURES.map(({ name, since, use, without }) => [name, since, use, without]);
  const all = [["feature", "Linux", "what for", "without it"], ["---", "---", "---", "---"], ...rows];
  return all.map((cells) => `| ${cells.join(" | ")} |`).join("\n");
}
