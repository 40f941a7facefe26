import { describe, expect, it } from "vitest";
import type { BundleConfig } from "../../../src/request/oci-config.ts";
import { containerIdOf } from "../../../src/request/podman.ts";

const ID = "cd3864ce60436228a253327766e65be99e61db1c82e97e55fdef3e678b93b4f7";
const config = (cgroupsPath?: string): BundleConfig => ({
  root: { path: "/" },
  linux: cgroupsPath === undefined ? {} : { cgroupsPath },
});

describe("containerIdOf", () => {
  it.each([`/libpod_parent/libpod-${ID}`, `machine.slice:libpod:${ID}`, `/machine.slice/libpod-${ID}`])(
    "finds it in the cgroup %s",
    (path) => expect(containerIdOf(config(path), "/")).toBe(ID),
  );

  it("finds it in podman 5's working directory", () => {
    expect(containerIdOf(config(), `/var/lib/containers/storage/overlay-containers/${ID}/userdata`)).toBe(ID);
  });

  it.each(["/self/container", `/x/notlibpod-${ID}`, `/libpod-${ID}/more`, "/libpod_parent/libpod-12"])(
    "takes nothing from the cgroup %s",
    (path) => expect(containerIdOf(config(path), "/tmp")).toBeUndefined(),
  );
});
