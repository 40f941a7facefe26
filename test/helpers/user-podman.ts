/** podman of a user without root, with the image localhost/app:1, in which /etc/which says `image`. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { label, makeImage } from "./app-image.ts";
import { type Host, must, type Outcome, PROJECT, type RunOptions } from "./host.ts";
import { makeTree } from "./tree.ts";
import type { User } from "./user.ts";

export interface UserPodman {
  run(args: readonly string[], options?: RunOptions): Promise<Outcome>;
  /** Like `run`, but throws unless the status is 0; returns stdout. */
  ok(...args: string[]): Promise<string>;
  /** Puts the file of hooks/oci into the hooks directory, in place of the other. */
  useHook(directory: "hooks.d" | "precreate.d" | "none"): Promise<void>;
  removeAll(): Promise<void>;
}

export async function makeUserPodman(host: Host, user: User, setUp = ""): Promise<UserPodman> {
  const conf = join(user.home, "conf");
  const hooks = join(user.home, "hooks.d");
  await user.sh("mkdir", [conf, hooks]);
  writeFileSync(
    join(conf, "storage.conf"),
    `[storage]\ndriver = "overlay"\ngraphroot = "${user.home}/graph"\nrunroot = "${user.runtime}/graph"\n`,
  );
  writeFileSync(
    join(conf, "containers.conf"),
    `[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
num_locks = 64
lock_type = "file"
hooks_dir = ["${hooks}"]
runtime = "runc"
runtime_supports_json = ["runc", "crun", "veneer-runc", "veneer-crun"]
${setUp}`,
  );
  const env = {
    CONTAINERS_STORAGE_CONF: join(conf, "storage.conf"),
    CONTAINERS_CONF: join(conf, "containers.conf"),
  };
  const run = (args: readonly string[], options: RunOptions = {}) =>
    user.sh("podman", args, { ...options, env: { ...env, ...options.env } });
  const ok = async (...args: string[]) => {
    const outcome = await run(args);
    if (outcome.status === 0) return outcome.stdout;
    throw new Error(`podman ${args.join(" ")}: status ${outcome.status}: ${outcome.stderr}`);
  };
  const tree = label(makeTree(join(host.dir, "image-tree")), "image");
  const archive = await makeImage(host.dir, "app", tree, ["--config.cmd", "/bin/sh"]);
  const id = (await ok("pull", "-q", `oci-archive:${archive}`)).trim();
  await ok("tag", id, "localhost/app:1");
  return {
    run,
    ok,
    async useHook(directory) {
      await must("rm", ["-f", join(hooks, "veneer.json")]);
      if (directory === "none") return;
      const text = `sed 's,"/usr/bin/veneer","${user.bin}/veneer",' <"$1" >"$2"`;
      const file = join(PROJECT, "hooks/oci", directory, "veneer.json");
      await must("sh", ["-c", text, "sh", file, join(hooks, "veneer.json")]);
    },
    async removeAll() {
      await run(["rm", "-fa", "-t", "0"]);
    },
  };
}
