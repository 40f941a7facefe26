/** Validation of a parsed document. Pure. */
import type { ErrorObject } from "ajv";
import { VeneerError } from "../errors.ts";
import { quote } from "../text/quote.ts";

export type Validator = ((data: unknown) => boolean) & { errors?: ErrorObject[] | null };

/** Returns the data when it is valid; otherwise throws an error that names the document and the invalid place in it. */
export function checkDocument<T>(data: unknown, name: string, validate: Validator, hint?: string): T {
  if (validate(data)) return data as T;
  const error = validate.errors?.[0];
  const where = error?.instancePath ? ` at ${quote(error.instancePath)}` : "";
  throw new VeneerError("BAD_DOCUMENT", `${name}${where} ${error?.message ?? "is not valid"}`, { hint });
}
