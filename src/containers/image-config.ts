/** What an image says of the containers made from it (OCI image specification, config.md). */

export interface ImageConfig {
  readonly env: readonly string[];
  /** entrypoint and command; empty when the image has neither */
  readonly command: readonly string[];
  readonly user?: string;
  readonly workingDir?: string;
}

/** Reads a manifest's `config`: the image's `config` object, or the whole document around it. */
export function readImageConfig(document: object | undefined): ImageConfig {
  const outer = (document ?? {}) as Readonly<Record<string, unknown>>;
  const inner = typeof outer.config === "object" && outer.config !== null ? outer.config : outer;
  const config = inner as Readonly<Record<string, unknown>>;
  const user = text(config.User);
  const workingDir = text(config.WorkingDir);
  return {
    env: strings(config.Env),
    command: [...strings(config.Entrypoint), ...strings(config.Cmd)],
    ...(user !== undefined && { user }),
    ...(workingDir !== undefined && { workingDir }),
  };
}

function text(value: unknown): string | undefined {
  return typeof value === "string" && value !== "" ? value : undefined;
}

function strings(value: unknown): string[] {
  return Array.isArray(value) ? value.filter((item) => typeof item === "string") : [];
}
