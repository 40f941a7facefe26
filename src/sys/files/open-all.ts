/** Many directories, open at once. */
import { type Fd, openDirectory } from "../fd.ts";

export interface OpenAll extends Disposable {
  readonly fds: readonly Fd[];
}

/** All of the directories, in their order, or none. */
export function openAll(directories: readonly string[], open: (path: string) => Fd = openDirectory): OpenAll {
  const fds: Fd[] = [];
  const close = () => {
    for (const fd of fds) fd[Symbol.dispose]();
  };
  try {
    for (const directory of directories) fds.push(open(directory));
  } catch (error) {
    close();
    throw error;
  }
  return { fds, [Symbol.dispose]: close };
}
