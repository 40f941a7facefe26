/** An overlay of idmapped trees, its upper among them. */
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
  /** holds `upper` and `work`, with the ids that the base has; owned by root */
  readonly parent: Fd;
  /** its path; absent: it is a mount that is nowhere attached, and idmapped itself */
  readonly directory?: string | undefined;
}

export interface MappedOverlay {
  readonly overlay: Fd;
  /** root of the user namespace as the host counts: whoever creates something in the overlay must be it */
  readonly root: FsIds;
}

/**
 * A detached overlay like that of {@link mountOverlay}. Overlayfs keeps the credentials that it was mounted with
 * and makes its work directory and whiteouts by them: they must be of ids that the map has. The upper and the
 * work directory come from one clone, since overlayfs wants both on one mount.
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

/** Who id 0 of the namespace is: the directory belongs to root on the disk. */
function ownerOf(directory: Fd): FsIds {
  const { uid, gid } = fstat(directory.number);
  const nobody = overflowIds();
  if (uid !== nobody.uid && gid !== nobody.gid) return { uid, gid };
  throw new VeneerError("NO_ROOT_ID", "the container's user namespace has no user or group 0", {
    hint: "map an id for root: linux.uidMappings and linux.gidMappings with containerID 0",
  });
}
