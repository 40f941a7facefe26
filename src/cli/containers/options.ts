/** The options that `run` and `bundle` share: they describe the container. */
import type { ContainerOptions } from "../../containers/facts.ts";
import { parseVolume, type Volume } from "../../containers/volume.ts";
import { UsageError } from "../../errors.ts";
import { subordinateRanges } from "../../process/account.ts";
import { workingDirectory } from "../../sys/self.ts";
import { statMaybe } from "../../sys/stat.ts";
import type { IdMap } from "../../sys/user-namespace.ts";
import { inUserNamespace } from "../../sys/user-namespace.ts";
import { checkInnerPath, checkName, parseBaseRef, parseSize } from "../../text/names.ts";
import { quote } from "../../text/quote.ts";
import { idMapOf } from "../../userns/id-mapping.ts";
import { lineUp } from "../../userns/subordinate-ids.ts";
import type { Context, Environment, Input, Option } from "../framework/command.ts";

export const CONTAINER_OPTIONS: readonly Option[] = [
  { name: "--name", value: "ID", help: "keep its writes in the instance ID", complete: "instance" },
  { name: "--env", short: "-e", value: "K[=V]", help: "set a variable, or pass on the caller's" },
  {
    name: "--volume",
    short: "-v",
    value: "SRC:DST[:ro]",
    help: "bind a file or directory",
    complete: "file",
  },
  { name: "--workdir", short: "-w", value: "DIR", help: "working directory of the command" },
  { name: "--user", short: "-u", value: "USER[:GROUP]", help: "run as this user: names or numbers" },
  { name: "--tty", short: "-t", help: "give the command a terminal" },
  {
    name: "--uidmap",
    value: "CONTAINER:HOST:SIZE",
    help: "a user namespace with these ids of the host",
  },
  { name: "--gidmap", value: "CONTAINER:HOST:SIZE", help: "the same for groups; default as --uidmap" },
  { name: "--userns", help: "a user namespace with root's ids in /etc/subuid and /etc/subgid" },
  { name: "--shifted-copy", help: "if the base cannot be idmapped, copy it once for these ids" },
  { name: "--network", value: "host|none", help: "default host", complete: ["host", "none"] },
  {
    name: "--opaque",
    value: "PATH",
    help: "start with this directory empty ('none': not even /tmp and /root)",
  },
  { name: "--mask", value: "PATH", help: "hide this file of the base" },
  { name: "--tmpfs", value: "SIZE", help: "keep its writes in memory, at most SIZE" },
];

/** Reads operands and options. Throws UsageError when they are invalid or contradict each other. */
export function readContainer(context: Context, input: Input): ContainerOptions {
  const name = input.value("--name");
  const network = input.value("--network") ?? "host";
  const cwd = input.value("--workdir");
  const user = input.value("--user");
  const tmpfs = input.value("--tmpfs");
  if (network !== "host" && network !== "none") {
    throw new UsageError(`network ${quote(network)} is not valid`, "write host or none");
  }
  if (input.rest?.length === 0) throw new UsageError("there is no command after --");
  const opaque = input.values("--opaque");
  const idmap = readIdMap(input);
  return {
    base: parseBaseRef(input.operands[0] as string),
    ...(name !== undefined && { name: checkName("instance", name) }),
    ...(opaque.length > 0 && { opaque: readOpaque(opaque) }),
    mask: input.values("--mask").map((path) => checkAnnotated(checkInnerPath("masked path", path))),
    ...(tmpfs !== undefined && { tmpfs: parseSize(tmpfs) }),
    ...(input.rest && { command: input.rest }),
    env: input
      .values("--env")
      .map((word) => readVariable(word, context.env))
      .filter((word) => word !== ""),
    ...(cwd !== undefined && { cwd: cwd === "/" ? cwd : checkInnerPath("working directory", cwd) }),
    ...(user !== undefined && { user }),
    terminal: input.has("--tty"),
    ...(context.env.TERM !== undefined && { term: context.env.TERM }),
    network,
    volumes: input.values("--volume").map(readVolume),
    ...(idmap && { idmap }),
    ...(input.has("--shifted-copy") && { shiftedCopy: true }),
  };
}

function readIdMap(input: Input): IdMap | undefined {
  const map = idMapOf(input.values("--uidmap"), input.values("--gidmap"));
  const userns = input.has("--userns");
  if (!map && !userns) return undefined;
  if (inUserNamespace()) {
    throw new UsageError("a user's containers have a user namespace already", "leave out its options");
  }
  if (map && userns) throw new UsageError("--userns is for the ids of /etc/subuid", "leave it out");
  return map ?? subordinateMap();
}

/** Maps all ids of root in subuid(5) and subgid(5), from id 0 upwards. */
function subordinateMap(): IdMap {
  const { uid, gid } = subordinateRanges();
  const map = { uids: lineUp(uid), gids: lineUp(gid) };
  if (map.uids.length > 0 && map.gids.length > 0) return map;
  throw new UsageError(
    "root has no ids in /etc/subuid and /etc/subgid",
    "usermod --add-subuids 100000-165535 --add-subgids 100000-165535 root (a range that nobody else has), or give --uidmap",
  );
}

function readOpaque(values: readonly string[]): string[] {
  const paths = values.filter((path) => path !== "none");
  return paths.map((path) => checkAnnotated(checkInnerPath("opaque path", path)));
}

/** Refuses a path with a comma, since an annotation carries the paths separated by commas. */
function checkAnnotated(path: string): string {
  if (!path.includes(",")) return path;
  throw new UsageError(`path ${quote(path)} has a comma`, "make the instance first: 'veneer create --help'");
}

/** Returns `K=V` as it is, and `K` with the value that the caller's environment has, empty when it has none. */
export function readVariable(word: string, env: Environment): string {
  const name = word.split("=", 1)[0] as string;
  if (name === "" || word.includes("\0")) {
    throw new UsageError(
      `variable ${quote(word)} is not valid`,
      "write NAME=VALUE, or NAME to pass on the caller's",
    );
  }
  if (word.includes("=")) return word;
  return env[name] === undefined ? "" : `${name}=${env[name]}`;
}

function readVolume(text: string): Volume {
  const volume = parseVolume(text, workingDirectory());
  if (statMaybe(volume.source)) return volume;
  throw new UsageError(`volume's source ${quote(volume.source)} does not exist`, "make it first");
}

/** Throws UsageError for options that only apply to a new upper: an existing instance has one. */
export function refuseForExisting(options: ContainerOptions): void {
  if (options.opaque === undefined && options.mask.length === 0 && options.tmpfs === undefined) return;
  throw new UsageError(
    `instance ${options.name} exists already: --opaque, --mask and --tmpfs are decided when it is made`,
    "leave them out, or use another name",
  );
}
