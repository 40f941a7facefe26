/** What an operation is: something that a program does, as the parts of `npm run torture` try it. */
import type { RunOptions, World } from "./world.ts";

export interface Call extends RunOptions {
  readonly file: string;
  readonly args: readonly string[];
}

export interface Operation {
  readonly name: string;
  /** the large program has a run time of its own, which makes calls too */
  readonly program: "small" | "large";
  /** what is looked at only: with status 0 it prints what it prints without a fault */
  readonly reads?: boolean;
  /** the world before: put back for each trial */
  prepare?(world: World): Promise<unknown>;
  /** The command, below a tracer with these options; none without options. */
  call(world: World, tracer: readonly string[]): Call | Promise<Call>;
  /** what the same command says when the first one had done it already */
  readonly done?: RegExp;
  /** what must be so once it has reported success; throws or returns what is not */
  proof?(world: World): Promise<string | undefined> | string | undefined;
  /** status and output of a container that runs on the right root */
  readonly shows?: string;
  /** after the checks: what only this operation leaves on purpose */
  finish?(world: World): Promise<unknown>;
  /** it leaves a process of ours in the background, which the tracer follows until {@link finish} */
  readonly background?: boolean;
  /** bases are changed: all of them are verified afterwards */
  readonly bases?: boolean;
}

/** Operations by what they try: `VERB`, `hook KIND`, `runtime COMMAND`. */
export type Operations = Readonly<Record<string, readonly Operation[]>>;

/** The small program becomes others, which are not traced; the large one is followed into all that it starts. */
export const SMALL_ONLY = ["-b", "execve"];

export const traced = (tracer: readonly string[], file: string, args: readonly string[]): Call =>
  tracer.length === 0 ? { file, args } : { file: "strace", args: [...tracer, file, ...args] };
