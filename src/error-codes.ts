/**
 * Every code of an error, with what causes it and what to do about it: docs/errors.md is made of it. Only the names are
 * used by programs, as a type: the texts are in neither. Longer than 250 lines: a table.
 */
export const ERROR_CODES = {
  AMBIGUOUS: ["Two things have the name that was given.", "Name the one that is meant as the hint shows."],
  AMBIGUOUS_CONFIG: [
    "Parsers would read config.json differently, for example for two keys of the same name.",
    "Have the program that wrote the bundle write each key once, in plain letters.",
  ],
  BAD_COMPRESSION: ["Compressed data is damaged or incomplete.", "Make or fetch the archive again."],
  BAD_DOCUMENT: [
    "A JSON document is damaged or does not fit its schema.",
    "Correct the place that the error names. A damaged file in the store: follow the hint; nothing was changed.",
  ],
  BAD_EDIT: [
    "config.json could not be changed without touching what it says otherwise.",
    "Report it with the config.json of the container.",
  ],
  BAD_ENGINE_CONFIG: [
    "A configuration file of an engine has a form that `setup` does not understand.",
    "Make the change that `veneer setup ENGINE --dry-run` describes by hand. Nothing was changed.",
  ],
  BAD_ID_MAP: [
    "The kernel rejects the map of ids, or the map has too many ranges.",
    "Give fewer, disjoint ranges.",
  ],
  BAD_IMAGE: [
    "An image or one of its layers is damaged, incomplete or of a kind that is not supported.",
    "Fetch it again, or import it in another form as the hint says.",
  ],
  BAD_PATH: [
    "A path names the root itself or leads out of it.",
    "Give a path below the root of the container.",
  ],
  BAD_POLICY: [
    "A policy of a base (bases.d/NAME.json) has a value that cannot be used.",
    "Correct the value that the error names.",
  ],
  BAD_ROOT: [
    "root.path of config.json does not name one directory for this container alone.",
    "Give the bundle an empty directory of its own as root.path.",
  ],
  BAD_STATE: [
    "The state that a runtime gave to the hook is incomplete.",
    "Call the hook from a runtime that follows the OCI runtime specification.",
  ],
  BAD_TAR: ["The archive is damaged, or not a tar.", "See what it holds: tar -tvf FILE."],
  BETWEEN_ROOTS: [
    "A process stays between the old root and the new one.",
    "Repeat the command. The container runs on, unchanged.",
  ],
  BOMB: [
    "An archive larger than 4 GiB expands more than a thousandfold.",
    "Pack it with less compression if it is meant.",
  ],
  BUSY: ["Another process works on the same thing.", "Wait until it has ended, or end what the error names."],
  CANDIDATE_FAILED: [
    "A new version of a base failed its check, in a container of its own or in its rollout.",
    "See `veneer base log NAME`; `--retry` tries it again.",
  ],
  CURRENT_VERSION: [
    "The version is the current one of its base.",
    "Make another version current first: `veneer base use`.",
  ],
  DEV_NULL: [
    "/dev/null of the container is no device that can hide a file.",
    "Let the engine mount its usual /dev.",
  ],
  EMPTY_ARCHIVE: ["The archive holds no files.", "Check what wrote it."],
  EXISTS: ["The name is taken.", "Choose another name, or remove what has it."],
  FAILED: ["Part of a longer message: what was being done.", "Read on in the same line."],
  FAILED_BEFORE: [
    "An earlier rollout onto this version failed its check.",
    "Mend the base, or repeat it with `--retry`.",
  ],
  FOREIGN_OWNERS: [
    "Files belong to users whose ids this user does not have.",
    "Run as root, or give the files to root with `--squash`.",
  ],
  GONE: ["A process, container or upper ended meanwhile.", "Start it again."],
  HELPER: [
    "The process that follows a container to its root ended early. The container was killed.",
    "Start it again; if it happens again, use the wrapping runtime `veneer-runc`.",
  ],
  HELD: [
    "The instance is in use by another container or mount.",
    "Stop or unmount the holder that the error names.",
  ],
  HELD_ROOT: [
    "The runtime holds the root open and may not be traced.",
    "Use the wrapping runtime `veneer-runc`.",
  ],
  IDMAPPED_ROOT: ["LXC would map the ids of the root itself.", "Remove `idmap=` from lxc.rootfs.options."],
  INTERRUPTED: ["A signal ended the command. Nothing is left half done.", "Run it again."],
  IN_MEMORY: ["The instance keeps its writes in memory.", "Make an instance without `--tmpfs`."],
  IN_PLACE: [
    "A layer of the base is a directory outside of the store.",
    "Import the directory without `--in-place`.",
  ],
  IN_USE: [
    "Something is mounted from, or runs on, what is to be changed.",
    "Stop it, or unmount it, then repeat the command.",
  ],
  IS_IMAGE: [
    "The source is an image, not the root of a system.",
    "Write its prefix before it, as the hint says.",
  ],
  KERNEL: ["The kernel is older than the oldest that is supported.", "Boot a newer one: docs/kernels.md."],
  LINKED_ROOT: [
    "The base has a symbolic link where the runtime mounts or writes.",
    "Make it a directory in a new version of the base.",
  ],
  LOOP: ["A path leads through too many symbolic links.", "Correct the links in the base."],
  LXC_MOUNTS: [
    "LXC mounts the instance by itself, and what was asked would not fit that.",
    "Follow the hint: stop the container, or use the hook.",
  ],
  MISSED_PIVOT: [
    "The container went past the point at which its root is exchanged, and was killed.",
    "Use the wrapping runtime `veneer-runc`.",
  ],
  MOUNTS_DIFFER: [
    "The container's mounts would change with its root.",
    "Unmount what was mounted inside, or stop the container and rebase it then.",
  ],
  MOUNT_FAILED: [
    "The kernel refuses the overlay.",
    "`veneer doctor` tries every feature that is needed; the errno and the kernel's text are in the error.",
  ],
  MOUNT_POINT: ["The mount point cannot be used.", "Give an existing empty directory."],
  MOUNT_TYPE: [
    "A mount point is a file where a directory is needed, or the reverse.",
    "Correct it in the base or in the configuration of the container.",
  ],
  MOVED: ["The base or the container changed meanwhile; what is done is named.", "Run the command again."],
  NOT_ADOPTABLE: [
    "The overlay of another tool keeps what an instance cannot have.",
    "Copy the merged tree instead, as the hint says.",
  ],
  NOT_ALLOWED: [
    "The administrator does not let containers name this base or instance, or the image names the instance.",
    "Allow it in the configuration, name another, or use an image without the annotation.",
  ],
  NOT_A_FILE: ["config.json is not a regular file.", "Write it as a file in the bundle."],
  NOT_BEGUN: ["The root of an edit session could not be prepared.", "Read on in the same line."],
  NOT_FROZEN: [
    "The container could not be paused in time. It runs on, unchanged.",
    "Repeat the command when it is less busy.",
  ],
  NOT_MOUNTED: ["The instance is not mounted here.", "`veneer ps` shows where it is mounted."],
  NOT_RESTARTABLE: ["The engine removes the container when it is stopped.", "Stop and create it by hand."],
  NOT_ROOT: [
    "Only root can keep owners, devices and capabilities, and read every file of a base.",
    "Run as root.",
  ],
  NOT_OURS: ["The container is one of an engine.", "Use the engine's own command, as the hint shows."],
  NOT_RUNNING: [
    "The container does not run, or not in a way in which its root can be exchanged.",
    "`veneer ps` lists what runs.",
  ],
  NOT_SHARED: ["The base is not shared with that user.", "`veneer base ls` shows with whom it is shared."],
  NOT_STACKABLE: [
    "The kernel does not stack layers of this base.",
    "Use a store on another file system, or flatten the base as the hint says.",
  ],
  NOT_YOURS: ["It belongs to another user.", "Let that user or root do it."],
  NO_ANSWER: [
    "A process of a container keeps whoever looks at it waiting, for example for a file server.",
    "End that process, or stop the container. Nothing was changed; other containers are not concerned.",
  ],
  NO_BASE: [
    "There is no base, or no version, of that name.",
    "`veneer base ls` lists the bases; `veneer base import` makes one.",
  ],
  NO_CONFIG: ["The bundle has no config.json.", "Check the path of the bundle."],
  NO_CONTAINER: ["The engine has no container of that name.", "Check the name and, for LXC, `--lxcpath`."],
  NO_ENGINE: [
    "It is not known which engine started the container.",
    "Stop, change and start it with its engine.",
  ],
  NO_GENERATION: ["The instance has no such generation.", "`veneer inspect ID` lists them."],
  NO_IDMAP: [
    "The file system or the kernel cannot idmap the layers.",
    "Put the store on ext4, xfs or btrfs, or allow a shifted copy: docs/user-namespaces.md.",
  ],
  NO_ID_MAP: [
    "The map of ids is unknown or could not be set.",
    "Check /etc/subuid, /etc/subgid and newuidmap: `veneer doctor`.",
  ],
  NO_IMAGE: [
    "There is no such image, or the layers cannot be an image.",
    "Follow the hint: name a tag, or export to a tar.",
  ],
  NO_INSTANCE: ["There is no instance of that name.", "`veneer ls` lists them; `veneer create` makes one."],
  NO_LAYER: [
    "A layer of the base is missing in the store.",
    "Import the base again; `veneer base verify` checks the others.",
  ],
  NO_LOG: ["No log is kept.", 'Write `"log": "journal"`, or the path of a file, into the configuration.'],
  NO_NAMESPACE: [
    "The container has no mount namespace of its own.",
    'Add a namespace of type "mount" to config.json.',
  ],
  NO_OVERLAY: ["The LXC container has no overlay that could be adopted.", "Check lxc.rootfs.path."],
  NO_POLICY: [
    "A base is to be updated that has no policy.",
    "Write bases.d/NAME.json beside the configuration, as docs/updates.md shows.",
  ],
  NO_PRE_MOUNT: ["LXC called another hook without the pre-mount hook.", "Run `veneer setup lxc NAME` again."],
  NO_PROGRAM: ["A program that is needed is not installed.", "Install the package that the hint names."],
  NO_ROLLOUT: ["The base has no unfinished rollout.", "Nothing is to be done."],
  NO_ROOT: [
    "The container's root is not where it must be.",
    "Use the wrapping runtime `veneer-runc`, and report the runtime's version.",
  ],
  NO_ROOT_ID: ["The user namespace of the container has no root.", "Map id 0 of the container."],
  NO_RUNTIME: [
    "The container runtime is not installed or cannot be started.",
    "Install runc or crun, or name its path in the configuration.",
  ],
  NO_RUNTIME_DIR: [
    "The session of the user has no directory for running things.",
    "Log in as that user, or set VENEER_RUN.",
  ],
  NO_SESSION: ["The base is not being edited.", "`veneer base edit NAME` begins a session."],
  NO_SHARED_MOUNTS: [
    "A container on this base cannot have shared mount propagation.",
    "Use rslave or rprivate.",
  ],
  NO_SHIFT: ["No copy of the base with shifted owners can be made.", "Follow the hint."],
  NO_SUBUIDS: [
    "The user has no subordinate ids, so owners cannot be kept.",
    "Add ranges to /etc/subuid and /etc/subgid, or use `--squash`.",
  ],
  NO_USER_NAMESPACE: ["The kernel gives no user namespace.", "`veneer doctor` says why, or run as root."],
  NO_XATTR: [
    "The file system of an upper or layer keeps no extended attributes of overlayfs.",
    "Put the store on ext4, xfs or btrfs; an upper in memory of a user without root needs Linux 6.6.",
  ],
  ONE_VERSION: ["The base has one version, so there is nothing to compare.", "Name two versions."],
  OPEN_FILES: [
    "Processes have files open that a live rebase could not carry over.",
    "End them, or use `--force` as the error describes.",
  ],
  OPEN_LIMIT: [
    "A container has more mounts than the process that would move them may open files.",
    "Raise the limit (`ulimit -n`, `LimitNOFILE=` of systemd), or stop the container to rebase it.",
  ],
  OTHER_CONTAINER: [
    "The hooks were written for another container.",
    "Run `veneer setup lxc NAME` for this one.",
  ],
  OTHER_CONTENT: [
    "The base of that name has other content than the one the instance was made on.",
    "Import the original again, or make a new instance.",
  ],
  OTHER_KIND: [
    "The store was made by root and cannot be used without root, or the reverse.",
    "Use a store of your own: `--root`.",
  ],
  OVERLAY_DEFAULT: [
    "LXC would mount its own overlay over this root.",
    "Change lxc.rootfs.path as the hint says.",
  ],
  OVERLAY_MARKS: [
    "The directory has whiteouts or files of another overlay, such as data of Docker or podman: as a base in place they would be unreadable.",
    "Import it without --in-place, which leaves these marks out; or with --force, and `--opaque DIR` for what holds them.",
  ],
  OVERRIDDEN: [
    "Another configuration file takes precedence over the one that `setup` writes.",
    "Change the file that the error names.",
  ],
  PARTS: ["The upper of the instance is in parts that its definition does not name.", "Run `veneer gc`."],
  PAUSE: [
    "A container would be paused for longer than allowed, or was, and its rebase was reverted or its copy removed.",
    "Allow more with `--pause-limit`, or stop the container to rebase or copy it.",
  ],
  PROGRAM_FAILED: ["Another program failed; its last line is in the error.", "Mend what that line says."],
  PROCESSOR: [
    "The processor lacks instructions that the large program uses.",
    "Run it on an x86-64-v2 processor (since about 2009), or give the virtual machine a newer CPU model.",
  ],
  PROPAGATION: [
    "A mount namespace that is cut off from the host could not be made.",
    "`veneer doctor` shows what the kernel permits.",
  ],
  ROOTFS_TYPE: [
    "lxc.rootfs.path has a form that veneer does not mount on.",
    "Use `dir:` and an empty directory.",
  ],
  ROOT_BELOW: ["Everything in the archive is below one directory.", "Unpack it, and import that directory."],
  RPM_DATABASE: ["The package database of rpm could not be read.", "Install rpm, or compare files only."],
  RUNNING: ["The container runs already.", "Stop it first."],
  SESSION_OPEN: ["A session on the base is open.", "End it: `veneer base commit` or `veneer base abort`."],
  SHARED: ["The base is shared with users.", "`veneer base unshare` first."],
  STACKED: [
    "Mounts in the container are stacked on one another, and this kernel cannot move those.",
    "Unmount the upper one, stop the container to rebase it, or run Linux 6.5 or later.",
  ],
  STAGE: [
    "The hook is called at a stage at which no root can be given.",
    "Call it at createRuntime or prestart, and at poststop.",
  ],
  TOO_DEEP: ["A tree is nested too deeply.", "Remove or exclude it."],
  TOO_LARGE: ["The archive has more than 10,000,000 entries.", "Split what it holds, or leave it out."],
  TOO_OPEN: [
    "Every user of the host could reach the root of the container.",
    "Close the directory that the error names.",
  ],
  TRANSIENT_MOUNT: [
    "The mount would be gone when the command ends.",
    "Use it in the shell of `veneer unshare`.",
  ],
  TRUNCATED: ["The archive ends in the middle of an entry.", "Make or fetch it again."],
  TWO_BASES: ["Hook and annotations name different bases.", "Name one."],
  UNKNOWN_KEY: ["A key is not known; it may be misspelled.", "Correct it as the hint suggests."],
  UNKNOWN_OWNER: [
    "It cannot be told whether the instance's container still exists.",
    "Remove the instance by hand when it is not needed: `veneer rm`.",
  ],
  UNKNOWN_PROCESS: ["It cannot be told which process is the container.", "Follow the hint."],
  UNREACHABLE: [
    "Root of the user namespace cannot reach the root of the container.",
    "Open the directory that the error names for it.",
  ],
  USER_NAMESPACE: [
    "The user namespace of the container does not fit what was asked.",
    "Follow the hint: docs/user-namespaces.md.",
  ],
  VERB_FAILED: [
    "A step of an update, a command of veneer itself, failed.",
    "See what it said in the same line.",
  ],
  WRITE_FAILED: ["Writing to the store or to the destination failed.", "Free space, or follow the hint."],
} as const satisfies Record<string, readonly [cause: string, remedy: string]>;

export type ErrorCode = keyof typeof ERROR_CODES;
