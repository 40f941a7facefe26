import { describe, expect, it } from "vitest";
import { restartPlan } from "../../../src/engines/restart-plan.ts";
import type { UseRecord } from "../../../src/store/records.ts";

const record = (engine: UseRecord["engine"], container: string, bundle: string): UseRecord => ({
  key: "k",
  engine,
  container,
  bundle,
  base: "b",
  version: 1,
  placement: "private",
  preparer: { pid: 1, startTime: 1 },
  created: "t",
});

describe("the engine that a container is of", () => {
  it.each([
    ["lxc", "web1", "/srv/lxc/web1/config", ["lxc-stop", "-P", "/srv/lxc", "-n", "web1"]],
    [
      "oci",
      "4f2a",
      "/var/lib/containers/storage/overlay-containers/4f2a/userdata",
      ["podman", "stop", "4f2a"],
    ],
    [
      "runtime",
      "4f2a",
      "/run/containerd/io.containerd.runtime.v2.task/moby/4f2a",
      ["docker", "stop", "4f2a"],
    ],
  ] as const)("%s %s", (engine, container, bundle, stop) => {
    expect(restartPlan(record(engine, container, bundle))?.stop).toEqual(stop);
  });

  it.each([
    ["runc's own", "runtime", "/tmp/bundle"],
    ["containerd's", "runtime", "/run/containerd/io.containerd.runtime.v2.task/default/c1"],
    ["of a copy of LXC's", "lxc", "/tmp/config"],
  ] as const)("%s is not known", (_what, engine, bundle) => {
    expect(restartPlan(record(engine, "c1", bundle))).toBeUndefined();
  });
});
