/** Options and results of commits and imports. */
import type { BaseVersion } from "../store/bases.ts";

/** The version that an import or a commit published, or the current one when that is equal. */
export type Published = BaseVersion & { readonly unchanged?: true };

export interface CandidateOption {
  /** the previous version stays current until a rollout or `base use` switches to the new one */
  readonly candidate?: boolean;
}

export interface CommitOptions extends CandidateOption {
  /** publish a version even if it is equal to the one below it */
  readonly always?: boolean;
  /** absolute paths whose changes are not published */
  readonly exclude?: readonly string[];
  /** publish even if the base got another version in the meantime, whose changes the new version then lacks */
  readonly force?: boolean;
  /** share equal files with other layers */
  readonly shareFiles?: boolean;
}
