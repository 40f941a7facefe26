/** An overlay of idmapped layers and an idmapped upper. */
import { VeneerError } from "../errors.ts";
import { type FsIds, withFsIds } from "../sys/credentials.ts";
import { type Fd, openDirectory } from "../sys/fd.ts";
import { fstat } from "../sys/stat.ts";
import { overflowIds } from "../sys/user-namespace.ts";
import type { IdmappedTrees } from "./idmapped-trees.ts";
import { mountOverlay, type OverlayRequest } from "./mount.ts";

export interface MappedRequest
  extends Omit<OverlayRequest, "layers" | "upper" | "work" | "detached" | "attached"> {
  readonly trees: IdmappedTrees;
  /** holds `upper` and `work`, which have plain ids; owned by root */
  readonly parent: Fd;
  /** its path; absent when it is a detached mount, which is then idmapped itself */
  readonly directory?: string | undefined;
}

export interface MappedOverlay {
  readonly overlay: Fd;
  /** host ids of the user namespace's root; to create anything in the overlay, a process must have these */
  readonly root: FsIds;
}

/**
 * Like {@link mountOverlay}, for idmapped trees. Overlayfs creates its work directory and whiteouts with the
 * credentials of the process that mounted it, so these ids must be mapped. The upper and the work directory come from
 * one clone, because overlayfs requires both on the same mount.
 */
export function mountMapped({ trees, parent, directory, ...rest }: MappedRequest): MappedOverlay {
  if (directory === undefined) trees.idmap(parent);
  const { layers, detached, attached } = trees;
  const place = directory === undefined ? parent : trees.find(parent, directory);
  const root = ownerOf(place);
  const upper = trees.keep(openDirectory("upper", place.number));
  const work = trees.keep(openDirectory("work", place.number));
  const overlay = withFsIds(root, () => mountOverlay({ ...rest, layers, upper, work, detached, attached }));
  return { overlay, root };
}

/** The host ids of the namespace's root: `directory` belongs to root on disk, so they are its owner in the clone. */
function ownerOf(directory: Fd): FsIds {
  const { uid, gid } = fstat(directory.number);
  const nobody = overflowIds();
  if (uid !== nobody.uid && gid !== nobody.gid) return { uid, gid };
  throw new VeneerError("NO_ROOT_ID", "the container's user namespace has no user or group 0", {
    hint: "map an id for root: linux.uidMappings and linux.gidMappings with containerID 0",
  });
}
