/** `/bin/true` on a Debian from start to end: veneer, and what a user would pick in its place. */
import { existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { plantBase } from "../test/helpers/base.ts";
import { type Host, must } from "../test/helpers/host.ts";
import { emptyStore, PATH, type Setting, VENEER } from "./context.ts";
import { debianTree } from "./debian.ts";
import { type Contender, interleave, type Result, runOnce } from "./measure.ts";
import { imageEngines } from "./peer-engines.ts";
import { copies, hooks, lxcPeers, sandboxes } from "./peer-tools.ts";
import { makeBundle, runContender, veneerRunc } from "./runc.ts";
import { compare, type Report, type Row } from "./table.ts";

/** One way to give a container a root. */
export interface Peer extends Contender {
  /** ours, or a root that is not private, which is the yardstick: no goal against it */
  readonly kind: "ours" | "shared" | "private";
  /** the part of its time that `veneer run` may take at most */
  readonly goal?: number;
  /** seconds rather than milliseconds: it runs less often */
  readonly slow?: boolean;
}

/** What peers get: the Debian is the base `debian` of the setting's store. */
export interface Scene {
  readonly setting: Setting;
  readonly tree: string;
  readonly host: Host;
  /** Called at the end, the last one first, also where a peer failed. */
  atEnd(action: () => unknown): void;
}

const OURS = "veneer run";
const YARDSTICK = "runc run, directory";

export async function benchPeers(setting: Setting, runs: number): Promise<Report> {
  const tree = debianTree();
  const ends: (() => unknown)[] = [];
  const dir = join(setting.dir, "peers");
  mkdirSync(join(dir, "bin"), { recursive: true });
  const host = { dir, bin: join(dir, "bin"), root: setting.root, run: setting.run, path: PATH } as Host;
  plantBase(host, "debian", tree);
  const scene: Scene = { setting, tree, host, atEnd: (action) => ends.unshift(action) };
  try {
    // crun refuses a host with control groups v1 that has the v2 hierarchy beside them; this namespace is our own
    if (existsSync("/sys/fs/cgroup/unified")) await must("umount", ["/sys/fs/cgroup/unified"]);
    return await measure(scene, runs);
  } finally {
    for (const end of ends) await end();
    const script = 'findmnt -rno TARGET | grep -F "$1/" | sort -r | xargs -r umount -l';
    await must("sh", ["-c", script, "sh", dir]);
    emptyStore(setting);
  }
}

async function measure(scene: Scene, runs: number): Promise<Report> {
  const rows: Row[] = [];
  const peers: Peer[] = own(scene);
  for (const make of [hooks, lxcPeers, sandboxes, imageEngines, copies]) {
    for (const candidate of await make(scene)) {
      const why = "missing" in candidate ? candidate.missing : await whyNot(candidate);
      if (why === undefined) peers.push(candidate as Peer);
      else rows.push({ what: `${OURS} against ${candidate.name}`, skipped: why });
    }
  }
  const quick = peers.filter(({ slow }) => !slow);
  const results = await interleave(quick, runs);
  const slow = peers.filter(({ slow, name }) => slow || name === OURS);
  const slowly = slow.length > 1 ? await interleave(slow, Math.max(3, Math.ceil(runs / 8)), 1) : [];
  const measured: Row[] = peers.flatMap((peer) => {
    if (peer.name === OURS || peer.name === YARDSTICK) return [];
    if (peer.kind !== "private") {
      return [compare(`${peer.name}, against ${YARDSTICK}`, results, peer.name, YARDSTICK)];
    }
    const among: readonly Result[] = peer.slow ? slowly : results;
    return [compare(`${OURS} against ${peer.name}`, among, OURS, peer.name, peer.goal ?? 1)];
  });
  return {
    title: "Peers",
    rows: [compare(`${OURS}, against ${YARDSTICK}`, results, OURS, YARDSTICK), ...measured, ...rows],
    results: [...results, ...slowly.filter(({ name }) => name !== OURS)],
    notes: [
      "runc, crun and the like on a directory give no root of its own: they are the yardstick, not peers",
    ],
  };
}

/** Runs it once; the first line of what it says where it fails. */
async function whyNot(peer: Peer): Promise<string | undefined> {
  try {
    await runOnce(peer);
    return undefined;
  } catch (error) {
    return String(error instanceof Error ? error.message : error)
      .split("\n")
      .slice(-1)
      .join();
  }
}

function own({ setting, tree }: Scene): Peer[] {
  const based = makeBundle(setting, "peers-based", ["/bin/true"], { "run.veneer.base": "debian" });
  const plain = makeBundle({ ...setting, tree }, "peers-plain", ["/bin/true"]);
  return [
    {
      kind: "ours",
      name: OURS,
      env: { PATH },
      command: [VENEER, ...setting.options, "run", "debian", "--", "/bin/true"],
    },
    { kind: "ours", ...runContender(setting, "veneer-runc run", veneerRunc(setting), based) },
    { kind: "shared", ...runContender(setting, YARDSTICK, ["runc"], plain) },
    { kind: "shared", ...runContender(setting, "crun run, directory", ["crun"], plain) },
  ];
}
