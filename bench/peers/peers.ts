/** `/bin/true` on a Debian from start to end: veneer, and what a user would pick in its place. */
import { has, PATH, type Setting, VENEER } from "../context.ts";
import { type Contender, interleave, type Result, reasonOf, runOnce } from "../measure.ts";
import { makeBundle, runContender, veneerRunc } from "../runc.ts";
import { compare, type Report, type Row } from "../table.ts";
import { dockerPeers, podmanPeers } from "./engines.ts";
import { inScene, type Scene } from "./scene.ts";
import { copies, hooks, lxcPeers, sandboxes } from "./tools.ts";

/** One way to give a container a root. */
export interface Peer extends Contender {
  /** ours, or a root that is not private, which is the yardstick: no goal against it */
  readonly kind: "ours" | "shared" | "private";
  /** the part of its time that `veneer run` may take at most */
  readonly goal?: number;
  /** seconds rather than milliseconds: it runs less often */
  readonly slow?: boolean;
}

/** A peer, or why there is none. */
export type Candidate = Peer | { readonly name: string; readonly missing: string };

const OURS = "veneer run";
const YARDSTICK = "runc run, directory";

/** What makes the peers, and what it is called where it cannot; where some of them are ours, that is a failure. */
const MAKERS: readonly {
  readonly what: string;
  readonly ours?: true;
  make(scene: Scene): readonly Candidate[] | Promise<readonly Candidate[]>;
}[] = [
  { what: "veneer and runc", ours: true, make: own },
  { what: "OCI hooks", ours: true, make: hooks },
  { what: "LXC", ours: true, make: lxcPeers },
  { what: "systemd-nspawn, bubblewrap", make: sandboxes },
  { what: "podman", make: podmanPeers },
  { what: "Docker, ctr", make: dockerPeers },
  { what: "copies", make: copies },
];

export function benchPeers(setting: Setting, runs: number): Promise<Report> {
  return inScene(setting, (scene) => measure(scene, runs));
}

async function measure(scene: Scene, runs: number): Promise<Report> {
  const { peers, rows: left } = await gather(scene);
  const dropped = new Map<string, string>();
  const results = await interleave(
    peers.filter(({ slow }) => !slow),
    runs,
    2,
    dropped,
  );
  const slow = peers.filter(({ slow, name }) => (slow || name === OURS) && !dropped.has(name));
  const slowly = slow.length > 1 ? await interleave(slow, Math.max(3, Math.ceil(runs / 8)), 1, dropped) : [];
  const rows = peers.flatMap((peer): Row[] => {
    const failed = dropped.get(peer.name);
    if (failed !== undefined) return [{ what: peer.name, failed }];
    if (peer.name === YARDSTICK) return [];
    if (peer.kind !== "private") {
      return [compare(`${peer.name}, against ${YARDSTICK}`, results, peer.name, YARDSTICK)];
    }
    const among: readonly Result[] = peer.slow ? slowly : results;
    return [compare(`${OURS} against ${peer.name}`, among, OURS, peer.name, peer.goal ?? 1)];
  });
  return {
    title: "Peers",
    rows: [...rows, ...left],
    results: [...results, ...slowly.filter(({ name }) => name !== OURS)],
    notes: [
      "runc and crun on a directory give no root of its own: they are the yardstick, not peers",
      ...(slow.length > 1 ? ["copies ran in turn with veneer run alone, after the others"] : []),
    ],
  };
}

/** Those that can run here, each tried once; of the others, why not. */
async function gather(scene: Scene): Promise<{ peers: Peer[]; rows: Row[] }> {
  const peers: Peer[] = [];
  const rows: Row[] = [];
  for (const { what, ours, make } of MAKERS) {
    try {
      for (const candidate of await make(scene)) {
        if ("missing" in candidate) rows.push({ what: candidate.name, skipped: candidate.missing });
        else
          await runOnce(candidate).then(
            () => peers.push(candidate),
            (error) => rows.push(left(candidate, error)),
          );
      }
    } catch (error) {
      const why = reasonOf(error);
      rows.push({ what, ...(ours ? { failed: why } : { skipped: why }) });
    }
  }
  return { peers, rows };
}

/** Ours and plain runtimes must run; of the others some cannot on some machines. */
function left({ name, kind }: Peer, error: unknown): Row {
  const why = reasonOf(error);
  return { what: name, ...(kind === "private" ? { skipped: why } : { failed: why }) };
}

function own({ setting, tree }: Scene): Candidate[] {
  const based = makeBundle(setting, "peers-based", ["/bin/true"], { "run.veneer.base": "debian" });
  const plain = makeBundle({ ...setting, tree }, "peers-plain", ["/bin/true"]);
  const crun = "crun run, directory";
  return [
    {
      kind: "ours",
      name: OURS,
      env: { PATH },
      command: [VENEER, ...setting.options, "run", "debian", "--", "/bin/true"],
    },
    { kind: "ours", ...runContender(setting, "veneer-runc run", veneerRunc(setting), based) },
    { kind: "shared", ...runContender(setting, YARDSTICK, ["runc"], plain) },
    has("crun")
      ? { kind: "shared", ...runContender(setting, crun, ["crun"], plain) }
      : { name: crun, missing: "not installed" },
  ];
}
