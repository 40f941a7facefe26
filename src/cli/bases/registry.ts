/** Shared by the commands that talk to registries. */

import { UsageError } from "../../errors.ts";
import { type RegistryOptions, registryEnvironment } from "../../images/fetch.ts";
import { quote } from "../../text/quote.ts";
import type { Context, Input, Option } from "../framework/command.ts";

export const TLS_VERIFY: Option = {
  name: "--tls-verify",
  value: "BOOL",
  help: "false: accept a registry with plain HTTP or an unknown certificate",
  complete: ["true", "false"],
};

/** Reads the options for a registry. Throws UsageError for an invalid --tls-verify. */
export function registryOptions(context: Context, input: Input): RegistryOptions {
  const value = input.value(TLS_VERIFY.name) ?? "true";
  if (value !== "true" && value !== "false") {
    throw new UsageError(`--tls-verify ${quote(value)}`, "write --tls-verify=true or --tls-verify=false");
  }
  return { tlsVerify: value === "true", env: registryEnvironment(context.env) };
}
