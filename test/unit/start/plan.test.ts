import { describe, expect, it } from "vitest";
import type { Operation } from "../../../src/start/operations.ts";
import { planStart, type StartFacts, type StartTarget, type UpperPlan } from "../../../src/start/plan.ts";
import { describe as say } from "../../../src/start/run-operations.ts";
import type { Fd } from "../../../src/sys/fd.ts";

const root = { mode: 0o755, uid: 0, gid: 0, xattrs: new Map() };
const FRESH: UpperPlan = { kind: "fresh", directory: "/s/ephemeral/e1", root, entries: [] };
const MAP = {
  uids: [{ containerID: 0, hostID: 100000, size: 65536 }],
  gids: [{ containerID: 0, hostID: 100000, size: 65536 }],
};
const userns = { fd: { number: 9 } as Fd, map: MAP, [Symbol.dispose]() {} };
const COVER: StartTarget["mountAt"] = {
  kind: "cover",
  pid: 7,
  root: "/b/rootfs",
  options: { masked: [], readonlyPaths: [], readonly: false },
};
const PRIVATE: StartTarget["mountAt"] = { kind: "directory", placement: "private", path: "/b/rootfs" };

function facts(target: Partial<StartTarget>, more: Partial<StartFacts> = {}): StartFacts {
  return {
    store: { root: "/s", run: "/r" },
    base: {
      name: "debian",
      version: 3,
      manifest: { layers: [], digest: "sha256:0", created: "", origin: "" },
    },
    layers: ["/s/layers/l1/tree"],
    ephemeral: "e1",
    upper: FRESH,
    target: { engine: "runtime", key: "runtime~1", container: "web1", mountAt: PRIVATE, ...target },
    source: "veneer:e1",
    mask: [],
    preparer: { pid: 5, startTime: 50 },
    now: "2026-01-01T00:00:00Z",
    ...more,
  };
}

const plan = (...args: Parameters<typeof facts>) => planStart(facts(...args));
const names = (...args: Parameters<typeof facts>) => plan(...args).map(({ op }) => op);

function find<K extends Operation["op"]>(operations: readonly Operation[], op: K) {
  return operations.find((operation) => operation.op === op) as Operation & { op: K };
}

describe("the order of a start", () => {
  it.each<[string, Partial<StartTarget>, Partial<StartFacts>, Operation["op"][]]>([
    ["the wrapping runtime", {}, {}, ["record", "upper", "overlay", "refuse-links", "attach"]],
    ["an OCI hook", { engine: "oci", mountAt: COVER }, {}, ["record", "upper", "overlay", "cover"]],
    [
      "podman's precreate, at a mount point of our own",
      { engine: "precreate", mountAt: { kind: "directory", placement: "host", path: "/r/m", own: true } },
      {},
      ["record", "upper", "overlay", "mount-point", "refuse-links", "attach"],
    ],
    [
      "an instance that is mounted by hand",
      { engine: "mount", mountAt: { kind: "directory", placement: "host", path: "/mnt" } },
      { upper: { kind: "existing", directory: "/s/i/1" }, instance: "i", ephemeral: undefined as never },
      ["record", "overlay", "attach"],
    ],
    [
      "an upper in memory",
      {},
      { upper: { kind: "tmpfs", bytes: 4096, root, entries: [] } },
      ["record", "tmpfs-upper", "overlay", "refuse-links", "attach"],
    ],
  ])("of %s", (_, target, more, expected) => {
    expect(names(target, more)).toEqual(expected);
  });

  it("ends with what comes after the mount, which knows the record", () => {
    const afterMount: StartFacts["afterMount"] = (record) => [{ op: "print", text: record.key }];
    expect(plan({}, { afterMount }).at(-1)).toEqual({ op: "print", text: "runtime~1" });
  });
});

describe("the record", () => {
  const recordOf = (...args: Parameters<typeof facts>) => find(plan(...args), "record").record;

  it("says who has the root, on which version, and where", () => {
    expect(recordOf({})).toEqual({
      key: "runtime~1",
      engine: "runtime",
      container: "web1",
      ephemeral: "e1",
      base: "debian",
      version: 3,
      placement: "private",
      target: "/b/rootfs",
      source: "veneer:e1",
      overlay: {},
      upper: "/s/ephemeral/e1/upper",
      preparer: { pid: 5, startTime: 50 },
      created: "2026-01-01T00:00:00Z",
    });
  });

  it("keeps what is masked, for the versions of later rebases", () => {
    expect(recordOf({}, { mask: ["/etc/*.key"] }).mask).toEqual(["/etc/*.key"]);
  });

  it("has the container's own root where that is covered", () => {
    expect(recordOf({ mountAt: COVER })).toMatchObject({ placement: "container", target: "/b/rootfs" });
  });

  it("names no upper that is in memory", () => {
    const record = recordOf({}, { upper: { kind: "tmpfs", bytes: 1, root, entries: [] } });
    expect([record.tmpfs, record.upper]).toEqual([true, undefined]);
  });

  it("keeps the maps to which the root is idmapped, or those of its copy", () => {
    expect(recordOf({ userns })).toMatchObject({ idmap: MAP });
    const shifted = recordOf({ userns }, { shifted: { uid: 100000, gid: 100000 } });
    expect([shifted.shifted, shifted.idmap]).toEqual([MAP, undefined]);
  });
});

describe("the overlay", () => {
  const overlayOf = (...args: Parameters<typeof facts>) => find(plan(...args), "overlay");

  it("is volatile on an ephemeral upper alone", () => {
    expect(overlayOf({}).volatile).toBe(true);
    expect(overlayOf({}, { upper: { kind: "existing", directory: "/s/i/1" } }).volatile).toBe(false);
  });

  it("is idmapped in a user namespace, but not on copies with shifted owners", () => {
    expect(overlayOf({ userns }).idmapped).toBe(true);
    const shifted = overlayOf({ userns }, { shifted: { uid: 100000, gid: 100001 } });
    expect([shifted.idmapped, shifted.as]).toEqual([undefined, { uid: 100000, gid: 100001 }]);
  });

  it("is nosuid and nodev for what is no container's root", () => {
    expect(overlayOf({ attributes: 6 }).attributes).toBe(6);
    expect(overlayOf({}).attributes).toBeUndefined();
  });

  it("counts the layers that are parts of its upper", () => {
    const upper: UpperPlan = { kind: "existing", directory: "/s/i/1", parts: 2 };
    expect(overlayOf({}, { upper }).parts).toBe(2);
  });
});

it("mounts for this mount namespace alone where the placement is private", () => {
  expect(find(plan({}), "attach")).toEqual({ op: "attach", target: "/b/rootfs", here: true });
  const mountAt: StartTarget["mountAt"] = { kind: "directory", placement: "host", path: "/mnt" };
  expect(find(plan({ mountAt }), "attach").here).toBeUndefined();
});

it("says in a line what each operation does", () => {
  expect(plan({}).map(say)).toEqual([
    "record runtime~1",
    "make the upper /s/ephemeral/e1",
    "overlay of '/s/layers/l1/tree'",
    "look at the root",
    "mount on '/b/rootfs'",
  ]);
});
