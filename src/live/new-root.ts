/** The overlay that becomes the root of a running container. */

import { idmapTrees } from "../overlay/idmapped-trees.ts";
import { mountOverlay } from "../overlay/mount.ts";
import { mountMapped } from "../overlay/mount-idmapped.ts";
import type { FsIds } from "../sys/credentials.ts";
import { type Fd, openDirectory, readlink } from "../sys/fd.ts";
import { openNamespace } from "../sys/user-namespace.ts";

export interface NewOverlay extends Disposable {
  readonly mount: Fd;
  /** the ids that create what is missing in it, where it is idmapped */
  readonly ids?: FsIds;
}

interface Wanted {
  /** open, top first */
  readonly layers: readonly Fd[];
  /** holds `upper` and `work` */
  readonly directory: string;
  /** of the store */
  readonly root: string;
  readonly source: string;
  readonly volatile: boolean;
}

/** `pid`: a process in the user namespace to which it is idmapped. */
export function mountNew({ directory, root: top, ...request }: Wanted, pid: number | undefined): NewOverlay {
  if (pid === undefined) {
    using upper = openDirectory(`${directory}/upper`);
    using work = openDirectory(`${directory}/work`);
    const mount = mountOverlay({ ...request, upper, work });
    return { mount, [Symbol.dispose]: () => mount[Symbol.dispose]() };
  }
  using userns = openNamespace(`/proc/${pid}/ns/user`);
  using parent = openDirectory(directory);
  const names = request.layers.map((layer) => readlink(layer.path) ?? "a layer");
  const trees = idmapTrees({ layers: request.layers, names, root: top, userns });
  if (trees.kind === "refused") throw trees.why;
  using _trees = trees;
  const { overlay, root } = mountMapped({ ...request, trees, parent, directory });
  return { mount: overlay, ids: root, [Symbol.dispose]: () => overlay[Symbol.dispose]() };
}
