/** The programs by which engines are told what to do: podman, docker, lxc-start, lxc, incus. */
import { execa } from "execa";
import { VeneerError } from "../errors.ts";

export interface ClientOptions {
  /** what the error names; default: the whole command */
  readonly what?: string;
  readonly hint?: string | undefined;
  /** the hint where the program is not installed; default: `hint` */
  readonly missing?: string;
}

/**
 * Runs the command with exactly these variables and without input; returns what it printed. Throws NO_ENGINE, with the
 * last line of its stderr, when it cannot be started or fails.
 */
export async function callClient(
  command: readonly string[],
  env: NodeJS.ProcessEnv,
  { what = command.join(" "), hint, missing = hint }: ClientOptions = {},
): Promise<string> {
  const [program = "", ...args] = command;
  try {
    const { stdout } = await execa(program, args, { env, extendEnv: false, stdin: "ignore" });
    return stdout;
  } catch (error) {
    const failure = error as { stderr?: string; shortMessage?: string; code?: string };
    const said = failure.stderr?.trim().split("\n").at(-1);
    throw new VeneerError("NO_ENGINE", `${what}: ${said || (failure.shortMessage ?? String(error))}`, {
      hint: failure.code === "ENOENT" ? missing : hint,
    });
  }
}
