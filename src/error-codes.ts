/**
 * Every error code with its cause and remedy; docs/errors.md is generated from it. The programs use only the names, as
 * a type: they do not contain the texts. Longer than 250 lines: a table.
 */
export const ERROR_CODES = {
  AMBIGUOUS: ["The given name fits two things.", "Name the one you mean as the hint shows."],
  AMBIGUOUS_CONFIG: [
    "Parsers would read config.json differently, for example for two keys of the same name.",
    "Make the program that wrote the bundle write each key once, in plain letters.",
  ],
  BAD_COMPRESSION: ["Compressed data is damaged or incomplete.", "Make or fetch the archive again."],
  BAD_DOCUMENT: [
    "A JSON document is damaged or does not fit its schema.",
    "Correct the place that the error names. For a damaged file in the store, follow the hint. Nothing was changed.",
  ],
  BAD_EDIT: [
    "config.json could not be changed without changing something else in it.",
    "Report it with the config.json of the container.",
  ],
  BAD_ENGINE_CONFIG: [
    "A configuration file of the engine is not what the engine or `setup` expects.",
    "Correct the file as the hint says. Nothing was changed.",
  ],
  BAD_ID_MAP: [
    "The kernel rejects the id map, or the map has too many ranges.",
    "Give fewer ranges that do not overlap.",
  ],
  BAD_IMAGE: [
    "An image or one of its layers is damaged, incomplete or not supported.",
    "Fetch it again, or import it in another form as the hint says.",
  ],
  BAD_PATH: [
    "A path names the root itself or leads out of it.",
    "Give a path below the root of the container.",
  ],
  BAD_POLICY: [
    "The policy of a base (bases.d/NAME.json) has an invalid value.",
    "Correct the value that the error names.",
  ],
  BAD_ROOT: [
    "root.path in config.json does not name a directory that only this container uses.",
    "Give the bundle an empty directory of its own as root.path.",
  ],
  BAD_STATE: [
    "The runtime gave the hook an incomplete state.",
    "Call the hook from a runtime that follows the OCI runtime specification.",
  ],
  BAD_TAR: ["The archive is damaged, or not a tar.", "List its contents: `tar -tvf FILE`."],
  BETWEEN_ROOTS: [
    "The switch of a running container's root failed midway, and so did the attempt to revert it.",
    "Run `veneer gc`, or repeat the command: both finish or revert the switch. The container runs meanwhile.",
  ],
  BOMB: [
    "An archive larger than 4 GiB expands more than a thousandfold.",
    "If that is intended, pack it with less compression.",
  ],
  BUSY: [
    "Another process is working on the same object.",
    "Wait until it ends, or end what the error names.",
  ],
  CANDIDATE_FAILED: [
    "A new version of a base failed its check, in a container of its own or in its rollout.",
    "See `veneer base log NAME`; `--retry` tries it again.",
  ],
  CURRENT_VERSION: [
    "The version is the current one of its base.",
    "Make another version current first: `veneer base use`.",
  ],
  DEV_NULL: [
    "/dev/null in the container is not a device that can hide a file.",
    "Make the engine mount its usual /dev.",
  ],
  EMPTY_ARCHIVE: ["The archive contains no files.", "Check the program that wrote it."],
  EXISTS: ["The name is in use.", "Choose another name, or remove what has this one."],
  FAILED: ["Part of a longer message: what was being done.", "Read the rest of the line."],
  FAILED_BEFORE: [
    "An earlier rollout to this version failed its check.",
    "Fix the base, or repeat the rollout with `--retry`.",
  ],
  FOREIGN_OWNERS: [
    "Files belong to users whose ids this user does not have.",
    "Run as root, or make root own all files with `--squash`.",
  ],
  GONE: ["A process, container or upper disappeared meanwhile.", "Start the container again."],
  HELPER: [
    "The process that follows a container to its root ended early, so the container was killed.",
    "Start the container again; if it happens again, use the wrapping runtime `veneer-runc`.",
  ],
  HELD: [
    "The instance is in use by another container or mount.",
    "Stop or unmount the holder that the error names.",
  ],
  HELD_ROOT: [
    "The runtime holds the root open, and its process cannot be traced.",
    "Use the wrapping runtime `veneer-runc`.",
  ],
  IDMAPPED_ROOT: [
    "LXC would idmap the root itself and hide the overlay.",
    "Remove `idmap=` from lxc.rootfs.options.",
  ],
  INTERRUPTED: ["A signal ended the command. Nothing was left half done.", "Run it again."],
  IN_MEMORY: ["The instance keeps its writes in memory.", "Make an instance without `--tmpfs`."],
  IN_PLACE: [
    "A layer of the base is a directory outside of the store.",
    "Import the directory without `--in-place`.",
  ],
  IN_USE: [
    "Something is mounted from, or runs on, the object that the command would change.",
    "Stop or unmount it, then repeat the command.",
  ],
  IS_IMAGE: [
    "The source is an image, not the root of a system.",
    "Put the prefix of its format before it, as the hint says.",
  ],
  KERNEL: ["The kernel is too old.", "Boot a newer one: docs/kernels.md."],
  LINKED_ROOT: [
    "The base has a symbolic link where the runtime mounts or writes.",
    "Make it a directory in a new version of the base.",
  ],
  LOOP: ["A path leads through too many symbolic links.", "Correct the links in the base."],
  LXC_MOUNTS: [
    "LXC mounts the instance itself, which does not permit what was asked.",
    "Follow the hint: stop the container, or use the hook.",
  ],
  MISSED_PIVOT: [
    "The container passed the point at which its root is switched, so it was killed.",
    "Use the wrapping runtime `veneer-runc`.",
  ],
  MOUNTS_DIFFER: [
    "The container's mounts would change with its root.",
    "Unmount what was mounted inside, or stop the container before the rebase.",
  ],
  MOUNT_FAILED: [
    "The kernel refuses the overlay.",
    "Read the errno and the kernel's text in the error; `veneer doctor` tests every feature that is needed.",
  ],
  MOUNT_POINT: ["The mount point cannot be used.", "Give an existing empty directory."],
  MOUNT_TYPE: [
    "A mount point is a file where a directory is needed, or vice versa.",
    "Correct it in the base or in the configuration of the container.",
  ],
  MOVED: [
    "The base or the container changed meanwhile; the error says what was done.",
    "Run the command again.",
  ],
  NRI: [
    "The runtime's NRI and veneer's plugin do not understand each other.",
    "Read the rest of the line. Until it is mended, use a RuntimeClass.",
  ],
  NOT_ADOPTABLE: [
    "The other tool's overlay uses features that an instance cannot have.",
    "Copy the merged tree instead, as the hint says.",
  ],
  NOT_ALLOWED: [
    "The configuration does not let containers name this base or instance, or the image itself names the instance.",
    "Allow it in the configuration, name another, or use an image without the annotation.",
  ],
  NOT_A_FILE: ["config.json is not a regular file.", "Write it as a file in the bundle."],
  NOT_BEGUN: ["The root of an edit session could not be prepared.", "Read the rest of the line."],
  NOT_FROZEN: [
    "The container could not be paused in time. It continues, unchanged.",
    "Repeat the command when the container is less busy.",
  ],
  NOT_MOUNTED: ["The instance is not mounted here.", "`veneer ps` shows where it is mounted."],
  NOT_RESTARTABLE: ["The engine removes the container when it stops.", "Stop and create it by hand."],
  NOT_ROOT: [
    "Only root can keep owners, devices and capabilities, and read every file of a base.",
    "Run as root.",
  ],
  NOT_OURS: ["The container belongs to an engine.", "Use the engine's own command, as the hint shows."],
  NOT_RUNNING: [
    "The container does not run, or not in a way that lets veneer switch its root.",
    "`veneer ps` lists what runs.",
  ],
  NOT_SHARED: ["The base is not shared with that user.", "`veneer base ls` shows with whom it is shared."],
  NOT_STACKABLE: [
    "The kernel cannot stack on the layers of this base.",
    "Use a store on another file system, or flatten the base as the hint says.",
  ],
  NOT_YOURS: ["The object belongs to another user.", "Ask that user or root to do it."],
  NO_ANSWER: [
    "A process of a container does not answer, for example because it waits for a file server.",
    "End that process, or stop the container. Nothing was changed; other containers are not affected.",
  ],
  NO_BASE: [
    "There is no base or version of that name.",
    "`veneer base ls` lists the bases; `veneer base import` makes one.",
  ],
  NO_CONFIG: ["The bundle has no config.json.", "Check the path of the bundle."],
  NO_CONTAINER: ["The engine has no container of that name.", "Check the name and, for LXC, `--lxcpath`."],
  NO_ENGINE: [
    "veneer cannot tell which engine started the container.",
    "Stop, change and start the container with its engine.",
  ],
  NO_GENERATION: ["The instance has no such generation.", "`veneer inspect ID` lists them."],
  NO_IDMAP: [
    "The file system or the kernel cannot idmap the layers.",
    "Put the store on ext4, xfs or btrfs, or allow a shifted copy: docs/user-namespaces.md.",
  ],
  NO_ID_MAP: [
    "The id map is unknown or could not be set.",
    "Check /etc/subuid, /etc/subgid and newuidmap: `veneer doctor`.",
  ],
  NO_IMAGE: [
    "There is no such image, or the layers cannot form an image.",
    "Follow the hint: name a tag, or export to a tar.",
  ],
  NO_INSTANCE: ["There is no instance of that name.", "`veneer ls` lists them; `veneer create` makes one."],
  NO_LAYER: [
    "A layer of the base is missing from the store.",
    "Import the base again; `veneer base verify` checks the others.",
  ],
  NO_LOG: ["No log is kept.", 'Write `"log": "journal"`, or the path of a file, into the configuration.'],
  NO_NAMESPACE: [
    "The container has no mount namespace of its own.",
    'Add a namespace of type "mount" to config.json.',
  ],
  NO_OVERLAY: ["The LXC container has no overlay to adopt.", "Check lxc.rootfs.path."],
  NO_POLICY: [
    "The base to update has no policy.",
    "Write bases.d/NAME.json beside the configuration, as docs/updates.md shows.",
  ],
  NO_PRE_MOUNT: ["LXC called another hook without the pre-mount hook.", "Run `veneer setup lxc NAME` again."],
  NO_PROGRAM: ["A required program is not installed.", "Install the package that the hint names."],
  NO_ROLLOUT: ["The base has no unfinished rollout.", "Nothing needs to be done."],
  NO_ROOT: [
    "The runtime has not mounted the container's root where the hook expects it.",
    "Use the wrapping runtime `veneer-runc`, and report the runtime's version.",
  ],
  NO_ROOT_ID: ["The user namespace of the container does not map id 0.", "Map id 0 of the container."],
  NO_RUNTIME: [
    "The container runtime is not installed or cannot be started.",
    "Install runc or crun, or name its path in the configuration.",
  ],
  NO_RUNTIME_DIR: ["The user's session has no runtime directory.", "Log in as that user, or set VENEER_RUN."],
  NO_SESSION: ["The base is not being edited.", "`veneer base edit NAME` begins a session."],
  NO_SHARED_MOUNTS: [
    "A container on this base cannot have shared mount propagation.",
    "Use rslave or rprivate.",
  ],
  NO_SHIFT: ["A copy of the base with shifted owners cannot be made.", "Follow the hint."],
  NO_SUBUIDS: [
    "The user has no subordinate ids, so owners cannot be kept.",
    "Add ranges to /etc/subuid and /etc/subgid, or use `--squash`.",
  ],
  NO_USER_NAMESPACE: [
    "The kernel does not permit a user namespace.",
    "`veneer doctor` says why, or run as root.",
  ],
  NO_XATTR: [
    "The file system of an upper or layer does not store overlayfs's extended attributes.",
    "Put the store on ext4, xfs or btrfs; without root, an upper in memory needs Linux 6.6.",
  ],
  ONE_VERSION: ["The base has only one version, so there is nothing to compare.", "Name two versions."],
  OPEN_FILES: [
    "Processes have files open that a live rebase cannot move to the new root.",
    "End them, or use `--force` as the error describes.",
  ],
  OPEN_LIMIT: [
    "The container has more mounts than the limit on open files permits to move.",
    "Raise the limit (`ulimit -n`, `LimitNOFILE=` of systemd), or stop the container to rebase it.",
  ],
  OTHER_CONTAINER: [
    "The hooks were written for another container.",
    "Run `veneer setup lxc NAME` for this one.",
  ],
  OTHER_CONTENT: [
    "The base of that name differs from the one on which the instance was made.",
    "Import the original again, or make a new instance.",
  ],
  OTHER_KIND: [
    "The store was made by root and cannot be used without root, or vice versa.",
    "Use a store of your own: `--root`.",
  ],
  OVERLAY_DEFAULT: [
    "LXC would mount its own overlay over this root.",
    "Change lxc.rootfs.path as the hint says.",
  ],
  OVERLAY_MARKS: [
    "The directory has whiteouts or files of another overlay, such as data of Docker or podman: in a base in place, containers could not read them.",
    "Import it without `--in-place`, which leaves them out; or with `--force`, and start the directories that hold them empty with `--opaque DIR`.",
  ],
  OVERRIDDEN: [
    "Another configuration file takes precedence over the one that `setup` writes.",
    "Change the file that the error names.",
  ],
  PARTS: ["The upper of the instance has parts that its definition does not name.", "Run `veneer gc`."],
  PAUSE: [
    "The container would have been paused for too long, or was: then its rebase was reverted, or its copy removed.",
    "Allow a longer pause with `--pause-limit`, or stop the container to rebase or copy it.",
  ],
  PROGRAM_FAILED: ["Another program failed; its last line is in the error.", "Fix what that line reports."],
  PROCESSOR: [
    "The processor lacks instructions that the large program needs.",
    "Run it on an x86-64-v2 processor (since about 2009), or give the virtual machine a newer CPU model.",
  ],
  PROPAGATION: [
    "A mount namespace with private propagation could not be made.",
    "`veneer doctor` shows what the kernel permits.",
  ],
  ROOTFS_TYPE: ["veneer cannot mount on this form of lxc.rootfs.path.", "Use `dir:` and an empty directory."],
  ROOT_BELOW: ["Everything in the archive is below one directory.", "Unpack it, and import that directory."],
  RPM_DATABASE: ["The package database of rpm could not be read.", "Install rpm, or compare files only."],
  RUNNING: ["The container is running.", "Stop it first."],
  SESSION_OPEN: ["A session on the base is open.", "End it: `veneer base commit` or `veneer base abort`."],
  SHARED: ["The base is shared with users.", "Run `veneer base unshare` first."],
  STACKED: [
    "Mounts in the container are stacked on one another, and this kernel cannot move them.",
    "Unmount the upper one, stop the container to rebase it, or run Linux 6.5 or later.",
  ],
  STAGE: [
    "The hook runs at a stage at which it cannot give the container a root.",
    "Call it at createRuntime or prestart, and at poststop.",
  ],
  TOO_DEEP: ["A tree is nested too deeply.", "Remove or exclude it."],
  TOO_LARGE: [
    "The archive has more than 10,000,000 entries.",
    "Split the archive, or leave files out of it.",
  ],
  TOO_OPEN: [
    "Every user of the host could reach the root of the container.",
    "Close the directory that the error names.",
  ],
  TRANSIENT_MOUNT: [
    "The mount would disappear when the command ends.",
    "Run the command in the shell of `veneer unshare`.",
  ],
  TRUNCATED: ["The archive ends in the middle of an entry.", "Make or fetch it again."],
  TWO_BASES: ["Hook and annotations name different bases.", "Name one."],
  UNKNOWN_KEY: ["A key is unknown; it may be misspelled.", "Correct it as the hint suggests."],
  UNKNOWN_OWNER: [
    "veneer cannot tell whether the instance's container still exists.",
    "If the instance is not needed, remove it by hand: `veneer rm`.",
  ],
  UNKNOWN_PROCESS: ["veneer cannot tell which process is the container's.", "Follow the hint."],
  UNREACHABLE: [
    "Root of the user namespace cannot reach the container's root directory.",
    "Give it access to the directory that the error names.",
  ],
  USER_NAMESPACE: [
    "The user namespace of the container does not fit what was asked.",
    "Follow the hint: docs/user-namespaces.md.",
  ],
  VERB_FAILED: [
    "A step of an update, which is a command of veneer, failed.",
    "Read its message in the same line.",
  ],
  WRITE_FAILED: ["Writing to the store or to the destination failed.", "Free space, or follow the hint."],
} as const satisfies Record<string, readonly [cause: string, remedy: string]>;

export type ErrorCode = keyof typeof ERROR_CODES;
