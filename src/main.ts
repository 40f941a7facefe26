/**
 * The small program: what engines call on every start. argv to command; the only catch-all and the only exit. All else
 * is the large program's, which is executed in its place.
 */

import { runSmall } from "./cli/small.ts";
import { exitStatus, formatError } from "./errors.ts";
import { runHook } from "./hook/run.ts";
import { Arguments, readGlobalOption } from "./request/arguments.ts";
import type { GlobalOptions } from "./request/config.ts";
import { readVariables } from "./request/environment.ts";
import { startLargeProgram } from "./runtime/large-program.ts";
import { releaseContainer } from "./runtime/release.ts";
import { wrapRuntime } from "./runtime/wrap.ts";
import { exit } from "./sys/process/fork.ts";
import { readFiles } from "./sys/process/read-files.ts";
import { warn } from "./sys/self.ts";
import { decodeName } from "./text/file-names.ts";

/** Returns where the large program has something to say or do, which it finds in the arguments. */
function main(argv: readonly string[]): void {
  const args = new Arguments(argv);
  const options: GlobalOptions = {};
  let word = args.next();
  while (word !== undefined && readGlobalOption(word, args, options)) word = args.next();
  if (word === "hook") {
    // all that hooks read of their environment, which may be that of an image
    runHook(args.rest(), options, environment("LXC_"));
    exit(0);
  }
  if (word === "internal" && argv.at(-1) === "read" && argv.length === 2) {
    readFiles();
    exit(0);
  }
  if (word === "runtime") runtime(args.rest(), options);
  else if (word !== undefined) {
    const status = runSmall(options, word, args.rest(), environment(""));
    if (status !== undefined) exit(status);
  }
}

/** `runtime --real NAME -- ARGS...`: the wrapping runtime without its name. */
function runtime(words: readonly string[], options: GlobalOptions): void {
  const [option = "", ...rest] = words;
  const attached = option.startsWith("--real=");
  const name = attached ? option.slice("--real=".length) : rest[0];
  const behind = attached ? rest : rest.slice(1);
  if ((option !== "--real" && !attached) || !name || behind[0] !== "--") return;
  const all = host.arguments();
  wrapRuntime(name, all.slice(all.length - behind.length + 1), options);
}

function environment(prefix: string): Readonly<Record<string, string>> {
  return readVariables(host.environment(prefix).map(decodeName));
}

/** What this process is by the name that it was called by: copies and links stand where engines call a runtime. */
function dispatch(): void {
  const [path = new Uint8Array(), ...words] = host.arguments();
  const called = decodeName(path);
  const name = called.slice(called.lastIndexOf("/") + 1);
  if (isVeneer(name) || isHook(name, words)) main(words.map(decodeName));
  else if (name === "veneer-release") releaseContainer(words.map(decodeName));
  else wrapRuntime(name, words);
  startLargeProgram();
}

/** `veneer`, `veneer.new`, `veneer-0.2`; but not `veneer-runc`. */
function isVeneer(name: string): boolean {
  return name === "veneer" || /^(veneer([^a-z-].*|-[0-9].*)?)?$/s.test(name);
}

/** An engine may call a hook by any name, and no runtime has such a command. */
function isHook(name: string, words: readonly Uint8Array[]): boolean {
  if (/^(veneer-.*|runc|crun)$/s.test(name)) return false;
  const args = new Arguments(words.map(decodeName));
  let word = args.next();
  while (word !== undefined && readGlobalOption(word, args, {})) word = args.next();
  return word === "hook";
}

// all before this is done once, by the build
host.start = () => {
  try {
    dispatch();
  } catch (error) {
    warn(`veneer: ${formatError(error)}`);
    exit(exitStatus(error));
  }
};
