/** The options of `create`, `setup lxc` and others that describe a fresh upper. */
import type { RequestOptions } from "../../request/root-request.ts";
import { checkInnerPath, parseSize } from "../../text/names.ts";
import type { Input, Option } from "./command.ts";

export const UPPER_OPTIONS: readonly Option[] = [
  {
    name: "--opaque",
    value: "PATH",
    help: "a directory that starts empty; default /tmp and /root; 'none'",
  },
  { name: "--mask", value: "PATH", help: "a file of the base to hide; the last part may hold * and ?" },
  { name: "--tmpfs", value: "SIZE", help: "keep the writes in memory, anew at each start: 64m, 2g" },
];

/** Reads these options; `tmpfs` in bytes. Throws UsageError for an invalid value. */
export function readUpperOptions(input: Input): Pick<RequestOptions, "opaque" | "mask" | "tmpfs"> {
  const options: RequestOptions = {};
  if (input.has("--opaque")) {
    const given = input.values("--opaque").filter((path) => path !== "none");
    options.opaque = given.map((path) => checkInnerPath("opaque path", path));
  }
  if (input.has("--mask")) {
    options.mask = input.values("--mask").map((path) => checkInnerPath("masked path", path));
  }
  const size = input.value("--tmpfs");
  if (size !== undefined) options.tmpfs = parseSize(size);
  return options;
}
