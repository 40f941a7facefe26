import { importOnce } from "../../bases/import-once.ts";
import { importInPlace, importTree } from "../../bases/import-tree.ts";
import { UsageError } from "../../errors.ts";
import { importImage } from "../../images/import.ts";
import { parseSource } from "../../images/source.ts";
import type { Published } from "../../layers/published.ts";
import { readVersion } from "../../store/bases.ts";
import { workingDirectory } from "../../sys/self.ts";
import { checkName } from "../../text/names.ts";
import { quote } from "../../text/quote.ts";
import type { Command } from "../framework/command.ts";
import { drawProgress } from "../framework/progress.ts";
import { ALWAYS, CANDIDATE, tellPublished } from "../framework/published.ts";
import { JSON_OPTION } from "../framework/table.ts";
import { registryOptions, TLS_VERIFY } from "./registry.ts";

export const command: Command = {
  name: "base import",
  changes: true,
  publishes: true,
  summary: "Make a base, or the next version of one, from a directory, a tar or an image",
  operands: [
    { name: "NAME", complete: "base" },
    { name: "SOURCE", complete: "file" },
  ],
  options: [
    {
      name: "--in-place",
      help: "use the directory SOURCE where it is, without a copy; / is allowed",
    },
    {
      name: "--force",
      help: "with --in-place: also where the directory has entries of another overlay, which containers cannot read",
    },
    {
      name: "--once",
      help: "for a registry: if NAME has a version of exactly this image, make that the current one",
    },
    {
      name: "--squash",
      help: "give every file to root: for a user whose namespace has no other ids",
    },
    ALWAYS,
    CANDIDATE,
    {
      name: "--whole",
      help: "make one layer of the whole tree, even if little differs from the current version",
    },
    TLS_VERIFY,
    JSON_OPTION,
  ],
  description: `SOURCE is a directory, a tar file (plain, gzip, xz, zstd or bzip2, detected from its contents), - for
a tar on standard input, or a container image. Symbolic links to them are followed; those in the tree are kept.
  oci:DIR[:TAG]              an OCI image layout
  oci-archive:FILE[:TAG]     a tar of one
  docker-archive:FILE[:REF]  what 'docker save' writes
  docker://HOST/NAME[:TAG]   from a registry; credentials are those of skopeo (skopeo login)
  dir:DIR                    what 'skopeo copy' writes to dir:
  docker-daemon:NAME[:TAG]   what Docker has; DOCKER_HOST is heeded
  podman:NAME                what podman has, by any name or id that it knows
  containers-storage:NAME    what podman and CRI-O have, by its full name

Owners, modes, times, hard links, symbolic links, devices, extended attributes
(file capabilities), ACLs and holes of sparse files are kept. A directory is copied by reflink if the file system supports it
(xfs, btrfs), without what is mounted below it.

Each layer of an image becomes a layer of its own, which all bases share that have it: importing an image that
stands on another one unpacks only what is new. Its environment, command, user and working directory are
what 'veneer run' starts with. Digests of all blobs and of their content are checked before anything is
published. All but oci:, oci-archive: and dir: need skopeo.

A user without root keeps owners through the ids of /etc/subuid and /etc/subgid (owners 0 to 65535 in the archive need
65536 of them). Device files are left out, since only root can make them. Without such ids, the
import is refused unless --squash gives every file to root.

The base appears whole or not at all, and is on disk when the command ends. If NAME exists, the import
becomes its next version and the current one. If it differs little, only the differences become a layer, above those of
the current version (of an image, if that takes less than half of its own new layers and saves 1 MiB); if nothing but
times differs, no version is made. Instances stay on the version that they are on. Prints NAME@VERSION.

With --once, an image is fetched from a registry only if no version of NAME came from it; otherwise that version, even an
older one, becomes the current one. Images are compared by digest: a tag is looked up first, while
docker://HOST/NAME@sha256:… needs no registry when the version exists. Versions imported without --once do not count.

With --in-place nothing is copied, and nothing protects the directory: changing it while containers run on it
is undefined (overlayfs.rst, "Changes to underlying filesystems"). The directory is looked through for whiteouts and
files of other overlays (data of Docker or podman, another store), which would be unreadable in containers: it is
refused where it has such, unless --force is given.`,
  examples: [
    "veneer base import debian /srv/debian-root",
    "veneer base import debian rootfs.tar.zst",
    "mmdebstrap --variant=minbase bookworm - | veneer base import debian -",
    "veneer base import web oci-archive:web.tar",
    "veneer base import debian docker://docker.io/library/debian:bookworm",
    "veneer base import debian docker://registry.example/debian:12 --once",
    "veneer base import host / --in-place",
  ],
  async run(context, input) {
    const [nameText = "", sourceText = ""] = input.operands;
    const name = checkName("base", nameText);
    const source = parseSource(sourceText, workingDirectory());
    const { store } = context.settings;
    let made: Published;
    let found = false;
    if (input.has("--once") && !(source.kind === "image" && source.transport === "docker://")) {
      throw new UsageError("--once takes an image of a registry", "write docker://HOST/NAME:TAG");
    }
    if (input.has("--candidate") && (input.has("--once") || input.has("--in-place"))) {
      throw new UsageError("--candidate goes neither with --once nor with --in-place");
    }
    if (input.has("--force") && !input.has("--in-place"))
      throw new UsageError("--force goes with --in-place");
    if (input.has("--in-place")) {
      if (source.kind !== "path") throw new UsageError("--in-place takes a directory");
      made = importInPlace(store, name, source.path, input.has("--force"));
      context.note(
        `veneer: ${quote(source.path)} is used in place: changing it under running containers is undefined`,
      );
    } else {
      if (source.kind === "stdin" && process.stdin.isTTY) {
        throw new UsageError("standard input is a terminal", "pipe a tar into it");
      }
      using progress = drawProgress(context);
      const options = {
        progress,
        note: context.note,
        squash: input.has("--squash"),
        always: input.has("--always"),
        candidate: input.has("--candidate"),
        whole: input.has("--whole"),
        shareFiles: context.settings.config.shareFiles,
      };
      if (source.kind !== "image") made = await importTree(store, name, source, options);
      else {
        const all = { ...options, ...registryOptions(context, input) };
        if (input.has("--once")) {
          const { version, found: there, unchanged = there } = await importOnce(store, name, source, all);
          found = there;
          made = { ...readVersion(store, { name, version }), ...(unchanged && { unchanged: true }) };
        } else made = await importImage(store, name, source, all);
      }
    }
    const { version } = made;
    if (found) context.note(`veneer: that image exists already: version ${version} is the current one`);
    else if (version > 1 && !made.unchanged && !input.has("--candidate")) {
      context.note(`veneer: ${name} existed: version ${version} is now its current one`);
    }
    tellPublished(context, input, made, found);
  },
};
