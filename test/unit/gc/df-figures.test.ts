import { describe, expect, it } from "vitest";
import { bar, type DfFacts, diskFree } from "../../../src/gc/df-figures.ts";

const facts: DfFacts = {
  layers: new Map([
    ["bottom", { bytes: 1000, inPlace: false, saved: 50 }],
    ["top", { bytes: 100, inPlace: false, saved: 0 }],
    ["apps", { bytes: 10, inPlace: false, saved: 5 }],
    ["/host", { bytes: 5000, inPlace: true, saved: 0 }],
  ]),
  versions: [
    { base: "debian", version: 1, layers: ["bottom"], merged: 1000 },
    { base: "debian", version: 2, layers: ["top", "bottom"], merged: 1060 },
    { base: "apps", version: 1, layers: ["apps", "bottom"], merged: 1010 },
    { base: "host", version: 1, layers: ["/host"], merged: 5000 },
  ],
  uppers: [
    { kind: "instance", id: "web1", base: "debian", version: 2, bytes: 7, own: 7, hidden: 30 },
    { kind: "instance", id: "web2", base: "debian", version: 1, bytes: undefined, own: 0, hidden: 0 },
    { kind: "container", id: "c", base: "host", version: 1, bytes: 1, own: 1, hidden: 0 },
    { kind: "instance", id: "lost", base: "gone", version: 1, bytes: 2, own: 2, hidden: 0 },
  ],
};

describe("df", () => {
  const { bases, instances, total } = diskFree(facts);

  it("counts each layer of a base once, and tells what it shares", () => {
    expect(bases).toEqual([
      { base: "debian", versions: 2, bytes: 1100, shared: 1000, saved: 50, inPlace: 0, users: 2 },
      { base: "apps", versions: 1, bytes: 1010, shared: 1000, saved: 55, inPlace: 0, users: 0 },
      { base: "host", versions: 1, bytes: 5000, shared: 0, saved: 0, inPlace: 5000, users: 1 },
    ]);
  });

  it("sets an instance's own bytes against a full copy, which has nothing that is hidden", () => {
    expect(instances.map(({ id, bytes, copy }) => [id, bytes, copy])).toEqual([
      ["web1", 7, 1037],
      ["web2", null, 1000],
      ["c", 1, 5001],
      ["lost", 2, 2],
    ]);
  });

  it("counts layers that bases share once in all", () => {
    expect(total).toEqual({ bytes: 1120, withInPlace: 6120, saved: 55, copies: 7040 });
  });

  it("is empty for an empty store", () => {
    expect(diskFree({ layers: new Map(), versions: [], uppers: [] })).toEqual({
      bases: [],
      instances: [],
      total: { bytes: 0, withInPlace: 0, saved: 0, copies: 0 },
    });
  });
});

it.each([
  [0, 100, "····"],
  [1, 100000, "▏···"],
  [50, 100, "██··"],
  [100, 100, "████"],
  [300, 100, "████"],
  [5, 0, "▏···"],
])("draws %d of %d", (part, whole, wanted) => {
  expect(bar(part, whole, 4)).toBe(wanted);
});
