import { describe, expect, it } from "vitest";
import { lxcConfigOf } from "../../../src/request/lxc-config.ts";

/** `KEY = VALUE` each, without `lxc.` */
const read = (...lines: string[]) =>
  lxcConfigOf(
    lines.map((line) => {
      const [key = "", value = ""] = line.split(/ = ?/, 2);
      return { key, value, file: "/var/lib/lxc/c/config" };
    }),
  );

describe("a container's configuration of LXC", () => {
  it("is that of a privileged container without a hook where it says nothing", () => {
    expect(read()).toEqual({ rootfs: "", ephemeral: false, preMount: false, environment: {} });
  });

  it("has the last root that is set", () => {
    expect(read("rootfs.path = dir:/a", "rootfs.path = dir:/b").rootfs).toBe("dir:/b");
  });

  it("has an environment in which later lines win, and which an empty line clears", () => {
    expect(read("environment = A=1", "environment = A=2=3", "environment = B").environment).toEqual({
      A: "2=3",
    });
    expect(read("environment = A=1", "environment = ", "environment = C=4").environment).toEqual({ C: "4" });
  });

  it("knows a hook of ours at pre-mount among others, until an empty line clears them", () => {
    const ours = "hook.pre-mount = /usr/local/bin/veneer hook lxc --base b";
    expect(read("hook.pre-mount = /bin/other").preMount).toBe(false);
    expect(read(ours, "hook.pre-mount = /bin/other").preMount).toBe(true);
    expect(read(ours, "hook.pre-mount = ").preMount).toBe(false);
  });

  it("has maps of ids from all lines", () => {
    expect(read("idmap = u 0 200000 65536", "idmap = g 0 300000 65536").map).toEqual({
      uids: [{ containerID: 0, hostID: 200000, size: 65536 }],
      gids: [{ containerID: 0, hostID: 300000, size: 65536 }],
    });
  });

  it("names the file that has the root idmapped, unless a later line takes that back", () => {
    expect(read("rootfs.options = ro,idmap=container").idmap).toEqual({
      options: "ro,idmap=container",
      file: "/var/lib/lxc/c/config",
    });
    expect(read("rootfs.options = idmap=container", "rootfs.options = ").idmap).toBeUndefined();
  });

  it("is of an ephemeral copy with 1 alone", () => {
    expect([read("ephemeral = 1").ephemeral, read("ephemeral = 0").ephemeral]).toEqual([true, false]);
  });
});
