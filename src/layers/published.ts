/** What a commit or an import makes. */
import type { BaseVersion } from "../store/bases.ts";

/** A version that an import or a commit made, or the current one where that shows the same. */
export type Published = BaseVersion & { readonly unchanged?: true };

export interface CandidateOption {
  /** the version before stays the current one, until a rollout or `base use` makes this one that */
  readonly candidate?: boolean;
}

export interface CommitOptions extends CandidateOption {
  /** publish a version though it shows the same as the one that the changes stand on */
  readonly always?: boolean;
  /** absolute paths whose changes stay out of the version */
  readonly exclude?: readonly string[];
  /** publish it though the base has got another version since: what that one changed is not in the new one */
  readonly force?: boolean;
  /** make files that other layers have too one with those */
  readonly shareFiles?: boolean;
}
