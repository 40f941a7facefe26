/** Refuses LXC containers that cannot have a base, and says what to do. */
import { VeneerError } from "../errors.ts";
import { isOurHook } from "../request/lxc-text.ts";
import { readText } from "../sys/fd.ts";
import { displayName, isPlainName } from "../text/names.ts";
import { quote } from "../text/quote.ts";
import { containerConfig, type LxcContainer } from "./lxc-container.ts";

/** Throws when the configuration would not work with a base. `replaces`: see lxcContainer in lxc.ts. */
export function refuseUnfit(
  container: LxcContainer,
  lines: readonly { key: string; value: string; file: string }[],
  replaces: (overlay: string) => boolean,
): void {
  const name = displayName(container.name);
  const refuse = (what: string, hint: string) =>
    new VeneerError("BAD_ENGINE_CONFIG", `container ${name} ${what}`, { hint });
  const last = (key: string) => lines.findLast((line) => line.key === key);
  const idmap = last("rootfs.options");
  if (idmap?.value.split(",").some((item) => item.startsWith("idmap="))) {
    throw refuse(
      `has lxc.rootfs.options = ${displayName(idmap.value)} (in ${displayName(idmap.file)})`,
      "LXC would bypass the base with it: remove idmap= from lxc.rootfs.options",
    );
  }
  const root = last("rootfs.path")?.value ?? "";
  if (/^overlay(fs)?:/.test(root) && !replaces(root)) {
    throw refuse(
      `has an overlay of LXC's own: ${quote(root)}`,
      `'veneer adopt ${name} --base BASE' adopts its changes`,
    );
  }
  if (lines.some(({ key, value }) => key === "environment" && /^VENEER_(BASE|INSTANCE)=/.test(value))) {
    throw refuse(
      "names its base in lxc.environment already",
      "it needs no set-up; or remove that line, and the include of veneer.conf",
    );
  }
  if (isPlainName(container.name) || last("hook.version")?.value === "1") return;
  // hooks in included files come with LXC's packages; they read the environment, so they work with version 1 too
  const own = containerConfig(container);
  const other = lines.find(({ key, value, file }) => file === own && isForeignHook(key, value));
  if (!other) return;
  throw refuse(
    `needs lxc.hook.version = 1 for its name, and has another hook, lxc.${other.key}`,
    "set lxc.hook.version = 1 yourself if that hook understands it",
  );
}

/** Throws when LXC cannot mount the root of this container itself, without hooks. */
export function refuseHooklessUnfit(
  container: LxcContainer,
  lines: readonly { key: string; value: string }[],
): void {
  const who = `container ${displayName(container.name)}`;
  const hint = "set it up without --hookless";
  if (lines.some(({ key, value }) => key === "idmap" && value !== "")) {
    throw new VeneerError(
      "USER_NAMESPACE",
      `${who} has a user namespace (lxc.idmap): LXC cannot mount this overlay in one`,
      {
        hint,
      },
    );
  }
  const set = ["redirect_dir", "index", "metacopy"].find(
    (name) => readText(`/sys/module/overlay/parameters/${name}`)?.trim() === "Y",
  );
  if (set === undefined) return;
  throw new VeneerError(
    "OVERLAY_DEFAULT",
    `LXC would mount ${who} with ${set}=on, the overlay module's default here: its changes could not be moved onto another version`,
    {
      hint: `${hint}, or write N to /sys/module/overlay/parameters/${set}`,
    },
  );
}

function isForeignHook(key: string, value: string): boolean {
  return key.startsWith("hook.") && key !== "hook.version" && value !== "" && !isOurHook(value);
}
