/** What a user without root mounts lives in a namespace. */
import { VeneerError } from "../../errors.ts";

/** Variable of the environment inside a namespace that veneer made: what ends it. */
export const NAMESPACE_MARK = "VENEER_USER_NAMESPACE";

/** `command`: one command of veneer's; `shell`: what `veneer unshare` runs. */
export type NamespaceKind = "command" | "shell";

/** Refuses what would be gone at once: a mount in a namespace that ends with this very command. */
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
