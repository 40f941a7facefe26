/** argv to command: the only catch-all and the only exit. */
import { exitStatus, formatError, UsageError } from "./errors.ts";
import { reportingToParent } from "./hook-log.ts";
import { hookLxc } from "./hook-lxc.ts";
import { hookOci } from "./hook-oci.ts";
import { hookPrecreate } from "./hook-precreate.ts";
import { releaseByKey } from "./hook-release.ts";
import { Arguments, readGlobalOption, readWish } from "./input/arguments.ts";
import { type GlobalOptions, readSettings } from "./input/config.ts";
import type { Wishes } from "./input/request.ts";
import { logEvent } from "./log.ts";
import { reportingToLxc } from "./lxc-report.ts";
import { prepareRuntime } from "./prepare-runtime.ts";
import { quote } from "./quote.ts";

/** The commands that engines call take no other module than those above; all else is read when it is called. */
function main(argv: readonly string[]): void {
  const args = new Arguments(argv);
  const options: GlobalOptions = {};
  let word = args.next();
  while (word !== undefined && readGlobalOption(word, args, options)) word = args.next();
  if (word === "hook") reportingToLxc(process.env, () => reportingToParent(() => hook(args, options)));
  else if (word === "runtime") {
    if (prepareRuntime(args, options) === "help") showHelp(options, word);
  } else import("./cli/index.ts").then((cli) => cli.run(options, word, args.rest())).catch(fail);
}

function hook(args: Arguments, options: GlobalOptions): void {
  const wishes: Wishes = {};
  const words: string[] = [];
  let key: string | undefined;
  for (let word = args.next(); word !== undefined; word = args.next()) {
    if (!word.startsWith("-")) words.push(word);
    else if (word === "--release") key = args.value(word);
    else if ((word === "--help" || word === "-h") && args.rest().length === 0) {
      showHelp(options, "hook");
      return;
    } else if (!readWish(word, args, wishes) && !readGlobalOption(word, args, options)) {
      throw new UsageError(`unknown option ${quote(word)} of hook`, "'veneer hook --help' lists them");
    }
  }
  const [kind = "oci", ...extra] = words;
  const settings = readSettings(options);
  try {
    if (key !== undefined) releaseByKey(settings, key);
    else if (kind === "lxc") hookLxc(settings, wishes, extra);
    else if (kind === "oci" && extra.length === 0) hookOci(settings, wishes);
    else if (kind === "precreate" && extra.length === 0) hookPrecreate(settings, wishes);
    else throw new UsageError(`unknown hook ${quote(words.join(" "))}`, "'veneer hook --help' lists them");
  } catch (error) {
    logEvent(settings.config, { event: "error", engine: kind, error });
    throw error;
  }
}

function showHelp(options: GlobalOptions, word: string): void {
  import("./cli/index.ts").then((cli) => cli.run(options, "help", [word])).catch(fail);
}

function fail(error: unknown): void {
  process.stderr.write(`veneer: ${formatError(error)}\n`);
  process.exitCode = exitStatus(error);
}

try {
  main(process.argv.slice(2));
} catch (error) {
  fail(error);
}
