/** A host whose root is shared, as systemd makes it: what leaks out of a namespace shows in its mount table. */
import { type ChildProcess, spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { must, type Outcome, type RunOptions, sh } from "./host.ts";

export interface SharedRoot {
  /** mountinfo of the namespace, without the ids of mounts and peer groups */
  mounts(): string[];
  run(file: string, args: readonly string[], options?: RunOptions): Promise<Outcome>;
  must(file: string, args: readonly string[], options?: RunOptions): Promise<string>;
  /** Ends the namespace, and every mount in it. */
  end(): void;
}

/** A mount namespace of its own, a copy of this one, in which every mount is shared. */
export async function sharedRoot(): Promise<SharedRoot> {
  const script = "mount --make-rshared / && echo ready && exec sleep infinity";
  const args = ["--mount", "--propagation", "private", "--", "sh", "-c", script];
  const child = spawn("unshare", args, { stdio: ["ignore", "pipe", "inherit"] });
  await ready(child);
  const inside = (file: string, rest: readonly string[]) => [
    "-t",
    String(child.pid),
    "-m",
    "--",
    file,
    ...rest,
  ];
  return {
    mounts: () =>
      readFileSync(`/proc/${child.pid}/mountinfo`, "utf8")
        .trimEnd()
        .split("\n")
        .map((line) =>
          line
            .split(" ")
            .slice(3)
            .join(" ")
            .replace(/ (shared|master):[0-9]+/g, ""),
        ),
    run: (file, rest, options) => sh("nsenter", inside(file, rest), options),
    must: (file, rest, options) => must("nsenter", inside(file, rest), options),
    end: () => child.kill("SIGKILL"),
  };
}

function ready(child: ChildProcess): Promise<void> {
  return new Promise((resolve, reject) => {
    child.stdout?.once("data", () => resolve());
    child.once("exit", () => reject(new Error("unshare: no mount namespace")));
  });
}
