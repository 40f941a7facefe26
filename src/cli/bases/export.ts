import { exportBase } from "../../bases/export.ts";
import { UsageError } from "../../errors.ts";
import { parseDestination } from "../../images/destination.ts";
import type { LayerCompression } from "../../images/pack-layer.ts";
import { workingDirectory } from "../../sys/self.ts";
import { statMaybe } from "../../sys/stat.ts";
import { parseBaseRef } from "../../text/names.ts";
import { quote } from "../../text/quote.ts";
import type { Command } from "../framework/command.ts";
import { drawProgress } from "../framework/progress.ts";
import { registryOptions, TLS_VERIFY } from "./registry.ts";

const COMPRESSIONS: readonly LayerCompression[] = ["gzip", "zstd", "none"];

export const command: Command = {
  name: "base export",
  summary: "Write a version of a base to a tar, an image or a registry",
  operands: [
    { name: "NAME[@V]", complete: "base" },
    { name: "DEST", complete: "file" },
  ],
  options: [
    {
      name: "--compression",
      value: "NAME",
      help: "of an image's layers: gzip (default), zstd or none",
      complete: COMPRESSIONS,
    },
    TLS_VERIFY,
  ],
  description: `DEST is one of
  FILE.tar, FILE.tar.gz, FILE.tar.xz, FILE.tar.zst, -   the merged tree as a tar; - is standard output
  oci:DIR[:TAG]              an image in an OCI image layout, which is created if it does not exist
  oci-archive:FILE[:TAG]     a tar of a layout that holds only this image
  docker://HOST/NAME[:TAG]   an image in a registry (needs skopeo; credentials are those of 'skopeo login')
Without TAG it is latest; without @V the current version is written.

Each layer of the version becomes a layer of the image, so that a registry and its readers store only what is new.
'veneer base import' makes the same tree of it. The same version gives the same bytes wherever and
whenever it is exported. For an image, prints the digest of its manifest. DEST is replaced when the
export is complete, and unchanged when it fails; other images of a layout stay.`,
  examples: [
    "veneer base export debian debian.tar.zst",
    "veneer base export debian@3 oci-archive:/srv/debian.oci.tar",
    "veneer base export web docker://registry.example.org/web:2",
    "veneer base export debian - | ssh other veneer base import debian -",
  ],
  async run(context, input) {
    const [name = "", text = ""] = input.operands;
    const ref = parseBaseRef(name);
    const destination = parseDestination(text, workingDirectory(), (path) => statMaybe(path) !== undefined);
    const word = input.value("--compression") ?? "gzip";
    const compression = COMPRESSIONS.find((known) => known === word);
    if (!compression) throw new UsageError(`--compression ${quote(word)}`, "write gzip, zstd or none");
    if (destination.kind === "stdout" && process.stdout.isTTY) {
      throw new UsageError("standard output is a terminal", "send it to a file or a pipe");
    }
    const registry = registryOptions(context, input);
    using progress = drawProgress(context);
    const options = { ...registry, compression, progress, note: context.note };
    const digest = await exportBase(context.settings.store, ref, destination, options);
    if (digest !== undefined) context.out(digest);
  },
};
