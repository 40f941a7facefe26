import { describe, expect, it } from "vitest";
import { tenantOf } from "../../../src/request/tenant.ts";

const ID = "0123456789abcdef".repeat(4);
const CONTAINERD = "/run/containerd/io.containerd.runtime.v2.task";
const POD = { "io.kubernetes.cri.sandbox-namespace": "shop" };
const CRIO_POD = { "io.kubernetes.pod.namespace": "shop" };

describe("whose container it is", () => {
  it.each([
    ["ctr's", `${CONTAINERD}/default/web1`, undefined, "containerd default"],
    [
      "Docker's",
      `/run/docker/containerd/daemon/io.containerd.runtime.v2.task/moby/${ID}`,
      {},
      "containerd moby",
    ],
    ["a pod's of containerd", `${CONTAINERD}/k8s.io/${ID}`, POD, "kubernetes shop"],
    [
      "a pod's of CRI-O",
      `/var/run/containers/storage/overlay-containers/${ID}/userdata`,
      CRIO_POD,
      "kubernetes shop",
    ],
    ["podman's", `/var/lib/containers/storage/overlay-containers/${ID}/userdata`, {}, "podman"],
    ["runc's", "/srv/bundle", null, "runtime"],
  ])("%s", (_, bundle, annotations, tenant) => {
    expect(tenantOf(bundle, annotations)).toBe(tenant);
    expect(tenantOf(`${bundle}/`, annotations)).toBe(tenant);
  });

  it("is not chosen by annotations outside Kubernetes, which the container's user writes", () => {
    const both = { ...POD, ...CRIO_POD };
    expect(tenantOf(`${CONTAINERD}/moby/${ID}`, both)).toBe("containerd moby");
    expect(tenantOf("/srv/bundle", both)).toBe("runtime");
  });

  it("is in no pod of another plugin's annotation", () => {
    expect(tenantOf(`${CONTAINERD}/k8s.io/${ID}`, CRIO_POD)).not.toBe("kubernetes shop");
  });

  it.each([
    ["a directory inside a bundle", `${CONTAINERD}/moby/${ID}/rootfs`],
    ["a storage of another name", `/srv/my-overlay-containers/${ID}/userdata`],
    ["a container that podman does not name so", "/srv/overlay-containers/short/userdata"],
    ["a directory below a container's", `/srv/overlay-containers/${ID}/userdata/shm`],
  ])("%s is no engine's bundle", (_, bundle) => {
    expect(tenantOf(bundle, POD)).toBe("runtime");
  });
});
