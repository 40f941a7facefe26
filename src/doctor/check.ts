/** The result of one check of `doctor`. */
import { describeError } from "../errors.ts";

export type Area = "system" | "kernel" | "store" | "engines" | "programs" | "installation";

/** `limited`: it works with restrictions; `unknown`: it could not be checked. */
export type Status = "ok" | "limited" | "missing" | "unknown";

export interface Check {
  readonly area: Area;
  readonly name: string;
  readonly status: Status;
  /** veneer does not work without it */
  readonly required: boolean;
  readonly detail: string;
  /** what to do about it; absent when all is well */
  readonly hint?: string;
}

export type Finding = Pick<Check, "status" | "detail" | "hint">;

export const ok = (detail: string): Finding => ({ status: "ok", detail });

/** A finding other than `ok`. */
export const not = (status: Exclude<Status, "ok">, detail: string, hint?: string): Finding => ({
  status,
  detail,
  ...(hint !== undefined && { hint }),
});

/** Runs one check. When `look` throws, the status is `missing` and the error is the detail. */
export function check(area: Area, name: string, required: boolean, look: () => Finding): Check {
  try {
    return { area, name, required, ...look() };
  } catch (error) {
    const { message, hint } = describeError(error);
    return { area, name, required, ...not("missing", message, hint) };
  }
}

/** Whether every required check is `ok` or `limited`. */
export function isSound(checks: readonly Check[]): boolean {
  return checks.every(({ required, status }) => !required || status === "ok" || status === "limited");
}
