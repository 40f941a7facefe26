/** Validation of a parsed document. Pure. */
import type { ErrorObject } from "ajv";
import { VeneerError } from "../errors.ts";
import { quote } from "../text/quote.ts";

export type Validator = ((data: unknown) => boolean) & { errors?: ErrorObject[] | null };

/** The data, when it is valid; else throws an error that names the document and the place in it that is wrong. */
export function checkDocument<T>(data: unknown, name: string, validate: Validator, hint?: string): T {
  if (validate(data)) return data as T;
  const error = validate.errors?.[0];
  const where = error?.instancePath ? ` at ${quote(error.instancePath)}` : "";
  throw new VeneerError("BAD_DOCUMENT", `${name}${where} ${error?.message ?? "is not valid"}`, { hint });
}
