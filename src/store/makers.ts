/** Who created an instance, and so whose containers may use it, by its name or by their own. */
import { VeneerError } from "../errors.ts";

export interface Maker {
  /** ADMINISTRATOR, or the tenant whose container asked for it ({@link tenantOf} in request/tenant.ts) */
  readonly tenant: string;
  /** the container after which it was named, when nobody named the instance */
  readonly container?: string;
}

export const ADMINISTRATOR = "administrator";

/**
 * Throws when `asker` may not use the instance. The administrator may use every instance. An instance that the
 * administrator created is open to everyone whom the configuration allows to name it. An instance that is named after a
 * container belongs to that container alone. Instances of version 0.1 have no maker and are open to all.
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
