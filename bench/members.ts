/** Containers that live while something else is measured. */
import { type ChildProcess, spawn } from "node:child_process";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { inParallel } from "../src/process/parallel.ts";
import { emptyStore, PATH, type Setting } from "./context.ts";

/** What a member runs: longer than any part takes, and should the benchmark be killed, it ends by itself. */
export const SLEEP = ["/bin/sleep", "3600"];

const AT_ONCE = 2;

/** Runs a command to its end. Throws where it fails, unless it may. */
export function start(command: readonly string[], mayFail = false): Promise<void> {
  return new Promise((resolve, reject) => {
    const [file, ...args] = command;
    const child: ChildProcess = spawn(file as string, args, {
      stdio: ["ignore", "ignore", mayFail ? "ignore" : "inherit"],
      env: { PATH },
    });
    child.on("error", reject);
    child.on("exit", (status) => {
      if (status === 0 || mayFail) resolve();
      else reject(new Error(`${command.join(" ")}: status ${status}`));
    });
  });
}

/** Starts a member of each id, two at once. */
export function startAll(ids: readonly string[], command: (id: string) => readonly string[]): Promise<void> {
  return inParallel(AT_ONCE, ids, (id) => start(command(id)));
}

/** Ends those of the state directory, however far each came. */
export function endAll(ids: readonly string[], state: string): Promise<void> {
  return inParallel(AT_ONCE, ids, (id) => start(["runc", "--root", state, "delete", "--force", id], true));
}

/** Forgets all members and gives the kernel time to end their namespaces, which no event tells of. */
export async function settle(setting: Setting): Promise<void> {
  emptyStore(setting);
  await new Promise((resolve) => setTimeout(resolve, 2000));
}

/**
 * Waits until what ended containers left has been deleted, which goes on in the background: it is not to be in the
 * next run's way. Throws where more than the uppers of `alive` containers are still there after a minute.
 */
export async function quiet(setting: Setting, alive = 0): Promise<void> {
  const count = (place: string) => readdirSync(join(setting.root, place)).length;
  const deadline = Date.now() + 60_000;
  while (count("ephemeral") > alive || count("trash") > 0) {
    if (Date.now() > deadline)
      throw new Error(
        `${count("ephemeral") - alive} uppers and ${count("trash")} in the trash of containers that ended`,
      );
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
