/** The editing session that a command works on. */
import { VeneerError } from "../../errors.ts";
import { readVersion } from "../../store/bases.ts";
import type { Store } from "../../store/paths.ts";
import { lockSession, readSession, type Session } from "../../store/sessions.ts";
import type { Fd } from "../../sys/fd.ts";

/** Locks and reads the session of a base. Throws when there is none, and while another process has locked it. */
export function takeSession(store: Store, name: string): { session: Session; lock: Fd } {
  // throws when there is no such base
  readVersion(store, { name });
  const lock = lockSession(store, name);
  const session = lock && readSession(store, name);
  if (session) return { session, lock };
  throw new VeneerError("NO_SESSION", `base ${name} has no editing session`, {
    hint: `'veneer base edit ${name}' opens one`,
  });
}
