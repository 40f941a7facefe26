/** Mounts of a user without root, which live only as long as their namespace. */
import { VeneerError } from "../../errors.ts";

/** The environment variable that tells, inside a namespace that veneer created, which kind it is. */
export const NAMESPACE_MARK = "VENEER_USER_NAMESPACE";

/** What the namespace is for, and ends with: `command`: one command of veneer; `shell`: what `veneer unshare` runs. */
export type NamespaceKind = "command" | "shell";

/** Refuses a mount in a namespace that ends with this command, since the mount would be gone at once. */
export function refuseTransientMount(what: string, env: NodeJS.ProcessEnv): void {
  if (env[NAMESPACE_MARK] !== "command") return;
  throw new VeneerError(
    "TRANSIENT_MOUNT",
    `${what}: what a user without root mounts is gone when the command ends`,
    {
      hint: "'veneer unshare' gives a shell in which it stays",
    },
  );
}
