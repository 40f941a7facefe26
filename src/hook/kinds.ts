/** The kinds of hooks: the word after `veneer hook`. */
export const HOOK_KINDS = ["oci", "lxc", "precreate"] as const;

export type HookKind = (typeof HOOK_KINDS)[number];
