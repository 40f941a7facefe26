/** Opens many directories at once. */
import { type Fd, openDirectory } from "../fd.ts";

export interface OpenAll extends Disposable {
  readonly fds: readonly Fd[];
}

/** Opens all of the directories, in order. Throws when one cannot be opened, and then closes the others. */
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
