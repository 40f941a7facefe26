import { describe, expect, it } from "vitest";
import { type GcFacts, planGc } from "../../../src/gc/plan.ts";
import type { UseRecord } from "../../../src/store/records.ts";

const nothing: GcFacts = {
  records: [],
  emptyRecords: [],
  configs: [],
  ephemerals: [],
  staging: [],
  layers: [],
  neededLayers: new Set(),
  manifests: [],
  orphans: [],
  parts: [],
  generations: [],
  sessions: [],
  mounts: [],
  sessionMounts: new Set(),
  files: [],
  namespaces: [],
  trash: [],
};

const record = (fields: Partial<UseRecord>): UseRecord => ({
  key: "k",
  engine: "oci",
  base: "debian",
  version: 1,
  placement: "container",
  preparer: { pid: 1, startTime: 1 },
  created: "",
  ...fields,
});

describe("planGc", () => {
  it("frees nothing where everything is used", () => {
    expect(planGc(nothing)).toEqual([]);
    const facts: GcFacts = {
      ...nothing,
      records: [{ record: record({ ephemeral: "e1", target: "/run/veneer/mnt/x" }), live: true }],
      configs: ["k"],
      ephemerals: [
        { id: "e1", mounted: false },
        { id: "of another --run directory", mounted: true },
      ],
      mounts: ["/run/veneer/mnt/x", "/run/veneer/edit/debian"],
      sessionMounts: new Set(["/run/veneer/edit/debian"]),
      layers: ["l1"],
      neededLayers: new Set(["l1", "l2"]),
    };
    expect(planGc(facts)).toEqual([]);
  });

  it("leaves the upper of a dead record to the record", () => {
    const dead = record({ ephemeral: "e1" });
    const facts = {
      ...nothing,
      records: [{ record: dead, live: false }],
      ephemerals: [{ id: "e1", mounted: false }],
    };
    expect(planGc(facts)).toEqual([{ kind: "record", record: dead }]);
  });

  it("frees what has no owner", () => {
    const facts: GcFacts = {
      ...nothing,
      emptyRecords: ["gone"],
      configs: ["gone", "c"],
      ephemerals: [{ id: "e1", mounted: false }],
      mounts: ["/run/veneer/mnt/y"],
      layers: ["l1", "l2"],
      neededLayers: new Set(["l2"]),
      trash: ["t"],
    };
    expect(planGc(facts)).toEqual([
      { kind: "record", empty: "gone" },
      { kind: "mount", target: "/run/veneer/mnt/y" },
      { kind: "ephemeral upper", id: "e1" },
      { kind: "layer", id: "l1" },
      { kind: "record", empty: "c" },
      { kind: "trash", name: "t" },
    ]);
  });

  it("frees the namespaces of maps that nothing live has", () => {
    const ranges = (hostID: number) => [{ containerID: 0, hostID, size: 9 }];
    const mapped = record({ idmap: { uids: ranges(5), gids: ranges(7) } });
    const facts = {
      ...nothing,
      records: [{ record: mapped, live: true }],
      namespaces: ["u0-5-9.g0-7-9", "u0-6-9.g0-7-9"],
    };
    expect(planGc(facts)).toEqual([{ kind: "user namespace", name: "u0-6-9.g0-7-9" }]);
  });

  it("frees no layer when it is not known which are needed", () => {
    expect(planGc({ ...nothing, layers: ["l1"], neededLayers: undefined })).toEqual([]);
  });
});
