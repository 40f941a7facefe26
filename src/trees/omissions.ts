/** Collects what an import leaves out, to report each kind once. */
import { printablePath } from "../text/file-names.ts";

export type Omission = "overlay whiteout" | "overlay attribute" | "attribute" | "acl" | "owner" | "device";

const TEXTS: Readonly<Record<Omission, (count: number, first: string) => string>> = {
  "overlay whiteout": (count, first) =>
    `${count} whiteouts of another overlay (0/0 character devices) are left out: overlayfs would take them for its own: ${first}`,
  "overlay attribute": (count, first) =>
    `overlayfs's own attributes of ${count} entries are left out: ${first}`,
  attribute: (count, first) =>
    `${count} extended attributes are left out: this user or file system cannot set them: ${first}`,
  acl: (count, first) => `${count} ACLs are left out: they name users by name, or are malformed: ${first}`,
  owner: (count, first) => `${count} owners with the id -1 are left out, root has the files: ${first}`,
  device: (count, first) => `${count} device files are left out: only root makes them: ${first}`,
};

/** The number of paths that a report names for each kind. */
const NAMED = 3;

export class Omissions {
  readonly #found = new Map<Omission, { count: number; named: string[] }>();

  add(kind: Omission, path: string): void {
    const known = this.#found.get(kind) ?? { count: 0, named: [] };
    known.count++;
    if (known.named.length < NAMED && !known.named.includes(path)) known.named.push(path);
    this.#found.set(kind, known);
  }

  /** Calls `note` with a line for each kind. */
  report(note: (line: string) => void): void {
    for (const [kind, { count, named }] of this.#found) {
      const first = named.map(printablePath).join(", ") + (count > named.length ? ", …" : "");
      note(`veneer: ${TEXTS[kind](count, first)}`);
    }
  }
}
