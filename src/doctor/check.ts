/** One thing that `doctor` looked at. */
import { describeError } from "../errors.ts";

export type Area = "system" | "kernel" | "store" | "engines" | "programs" | "installation";

/** `limited`: it works, but not in full; `unknown`: it could not be looked at. */
export type Status = "ok" | "limited" | "missing" | "unknown";

export interface Check {
  readonly area: Area;
  readonly name: string;
  readonly status: Status;
  /** nothing works without it */
  readonly required: boolean;
  readonly detail: string;
  /** what to do, unless all is well */
  readonly hint?: string;
}

export type Finding = Pick<Check, "status" | "detail" | "hint">;

export const ok = (detail: string): Finding => ({ status: "ok", detail });

/** A finding that wants something done. */
export const not = (status: Exclude<Status, "ok">, detail: string, hint?: string): Finding => ({
  status,
  detail,
  ...(hint !== undefined && { hint }),
});

/** Looks at one thing; what `look` throws makes it missing. */
export function check(area: Area, name: string, required: boolean, look: () => Finding): Check {
  try {
    return { area, name, required, ...look() };
  } catch (error) {
    const { message, hint } = describeError(error);
    return { area, name, required, ...not("missing", message, hint) };
  }
}

/** Whether all is there that nothing works without. */
export function isSound(checks: readonly Check[]): boolean {
  return checks.every(({ required, status }) => !required || status === "ok" || status === "limited");
}
