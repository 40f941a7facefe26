/** A user of the host without any right, who does what the kernel lets it do: in a user namespace it may mount. */
import { type ChildProcess, spawn } from "node:child_process";
import { chownSync, mkdtempSync } from "node:fs";
import { must } from "./host.ts";

export interface Attacker {
  readonly pid: number;
  /** all that it has printed by now */
  output(): string;
  stop(): Promise<void>;
}

const UID = 47999;

/** A directory of the attacker's own, which nobody else needs. */
function attackersDirectory(): string {
  const dir = mkdtempSync("/tmp/veneer-attacker-");
  chownSync(dir, UID, UID);
  return dir;
}

/** Starts `script` as the attacker, root in a user and mount namespace of its own; returns when it has printed `ready`. */
export async function attack(script: string, dir = attackersDirectory()): Promise<Attacker> {
  const ids = ["--reuid", String(UID), "--regid", String(UID), "--clear-groups"];
  const child = spawn("setpriv", [...ids, "--", "unshare", "-Urm", "--", "sh", "-ec", script], {
    cwd: dir,
    stdio: ["ignore", "pipe", "pipe"],
    detached: true,
  });
  return ready(child, dir);
}

function ready(child: ChildProcess, dir: string): Promise<Attacker> {
  let text = "";
  return new Promise((resolve, reject) => {
    const attacker: Attacker = {
      pid: child.pid as number,
      output: () => text,
      async stop() {
        const ended = new Promise((done) => child.once("exit", done));
        // the whole group: what the script started too
        if (child.exitCode === null && child.signalCode === null) {
          process.kill(-(child.pid as number), "SIGKILL");
          await ended;
        }
        await must("rm", ["-rf", "--one-file-system", dir]);
      },
    };
    const hear = (data: Buffer) => {
      text += data.toString();
      if (/^ready$/m.test(text)) resolve(attacker);
    };
    child.stdout?.on("data", hear);
    child.stderr?.on("data", hear);
    child.once("error", reject);
    child.once("exit", (status) => reject(new Error(`the attacker ended with ${status}: ${text}`)));
  });
}

/** Mounts on `target` in the attacker's namespace an overlay of that name, with a busybox in it. */
export function lyingOverlay(source: string, options: string, target = "m"): string {
  return [
    "mkdir -p l/bin l/old l/proc e m",
    "cp /bin/busybox l/bin/busybox",
    `mount -t overlay '${source}' -o 'lowerdir=l:e${options}' ${target}`,
  ].join("\n");
}
