/** Who made an instance: whose containers may name it, or be given it because of their own name. */
import { VeneerError } from "../errors.ts";

export interface Maker {
  /** ADMINISTRATOR, or the engine's part whose container asked for it ({@link tenantOf} in request/tenant.ts) */
  readonly tenant: string;
  /** the container after which it was called, without anybody naming the instance */
  readonly container?: string;
}

export const ADMINISTRATOR = "administrator";

/**
 * Refuses an instance of another's. The administrator may have all, and what the administrator made is for whoever the
 * configuration lets name it; what is called after a container is for that container alone. One of version 0.1 says
 * nothing of its maker.
 */
export function refuseForeign(id: string, maker: Maker | undefined, asker: Maker): void {
  if (!maker || asker.tenant === ADMINISTRATOR) return;
  const same = maker.tenant === asker.tenant || (maker.tenant === ADMINISTRATOR && !asker.container);
  if (same && maker.container === asker.container) return;
  const what = asker.container === undefined ? "an annotation or variable" : "a container's name";
  throw new VeneerError("NOT_ALLOWED", `instance ${id} was made for others, and ${what} cannot use it`, {
    hint: `'veneer inspect ${id}' shows for whom; the administrator (hook arguments, LXC's configuration) can name any instance`,
  });
}
