/** The policy of a base: where its versions come from, and how one becomes the current version. */
import { VeneerError } from "../errors.ts";
import validatePolicy from "../generated/policy.js";
import { readDocument } from "../store/document.ts";
import { isErrno } from "../sys/errno.ts";
import { list } from "../sys/stat.ts";
import { isInstanceName } from "../text/names.ts";

export type PolicySource =
  | { readonly image: string; readonly tlsVerify?: boolean }
  | { readonly directory: string }
  | CommandSource;

export interface CommandSource {
  readonly base?: string;
  readonly command: string;
  readonly env?: readonly string[];
  readonly volumes?: readonly string[];
  readonly discard?: readonly string[];
}

export interface PolicyFile {
  readonly source: PolicySource;
  readonly schedule?: string;
  readonly check?: { readonly command: string; readonly seconds?: number };
  readonly rollout?: false | RolloutPolicy;
  readonly keep?: { readonly versions?: number; readonly olderThan?: string };
  readonly onSuccess?: string;
  readonly onFailure?: string;
}

export interface RolloutPolicy {
  readonly canary?: number;
  readonly batch?: number;
  readonly pause?: number;
  readonly check?: string;
  readonly checkTimeout?: number;
  readonly after?: string;
  readonly force?: boolean;
}

/** A policy with defaults for the keys that are not set. The schema documents the same defaults. */
export interface Policy extends PolicyFile {
  readonly schedule: string;
  readonly rollout: false | RolloutPolicy;
}

export const POLICY_DEFAULTS = { schedule: "daily", rollout: {} } as const;
export const CHECK_SECONDS = 300;

/** The directory of policies, next to the configuration file. */
export function policyDirectory(configFile: string): string {
  return `${configFile.slice(0, configFile.lastIndexOf("/"))}/bases.d`;
}

export const policyPath = (directory: string, name: string): string => `${directory}/${name}.json`;

/** Reads the policy of a base, with defaults and as `given`. Throws when there is none or it is invalid. */
export function readPolicy(directory: string, name: string): { policy: Policy; given: PolicyFile } {
  const path = policyPath(directory, name);
  const given = readDocument<PolicyFile>(path, validatePolicy);
  if (given) return { policy: { ...POLICY_DEFAULTS, ...given }, given };
  throw new VeneerError("NO_POLICY", `base ${name} has no policy: ${path} does not exist`, {
    hint: `for example {"source": {"command": "apt-get update && apt-get -y upgrade"}}`,
  });
}

/** The names of the bases that have a policy, sorted. */
export function listPolicies(directory: string): string[] {
  try {
    return list(directory)
      .flatMap((file) => /^(.+)\.json$/.exec(file)?.[1] ?? [])
      .filter(isInstanceName)
      .sort();
  } catch (error) {
    if (isErrno(error, "ENOENT")) return [];
    throw error;
  }
}
