/** The kinds of hooks, as the word behind `veneer hook` names them. */
export const HOOK_KINDS = ["oci", "lxc", "precreate"] as const;

export type HookKind = (typeof HOOK_KINDS)[number];
