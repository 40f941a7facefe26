import { describe, expect, it } from "vitest";
import {
  type ContainerFacts,
  hostnameOf,
  mergeEnvironment,
  ociConfig,
} from "../../../src/containers/oci-config.ts";

const facts: ContainerFacts = {
  hostname: "web",
  rootfs: "rootfs",
  args: ["sh"],
  env: ["PATH=/x", "A=1"],
  cwd: "/",
  user: { uid: 0, gid: 0, additionalGids: [], home: "/root" },
  terminal: false,
  network: "host",
  volumes: [{ source: "/a:b", destination: "/c", readonly: true }],
  cgroups: "v2",
  annotations: { "run.veneer.base": "debian" },
};

interface Config {
  process: { env: string[]; rlimits?: object[] };
  mounts: { destination: string; options: string[] }[];
  linux: { namespaces: { type: string }[] };
}

const config = (change: Partial<ContainerFacts> = {}) => ociConfig({ ...facts, ...change }) as Config;
const destinations = (change: Partial<ContainerFacts>) =>
  config(change).mounts.map(({ destination }) => destination);

describe("ociConfig", () => {
  it("lets the image and the caller replace the default variables", () => {
    expect(config().process.env).toEqual(["PATH=/x", "HOME=/root", "A=1"]);
  });

  it("makes a network namespace only for network none", () => {
    const types = (network: "host" | "none") =>
      config({ network }).linux.namespaces.map((namespace) => namespace.type);
    expect(types("host")).not.toContain("network");
    expect(types("none")).toContain("network");
  });

  it("mounts control groups where the host has them, resolv.conf where it is given", () => {
    expect(destinations({})).toContain("/sys/fs/cgroup");
    expect(destinations({ cgroups: "none" })).not.toContain("/sys/fs/cgroup");
    expect(destinations({})).not.toContain("/etc/resolv.conf");
    expect(destinations({ resolvConf: "/etc/resolv.conf" })).toContain("/etc/resolv.conf");
  });

  it("binds volumes last, without propagation back", () => {
    expect(config().mounts.at(-1)).toEqual({
      destination: "/c",
      type: "bind",
      source: "/a:b",
      options: ["rbind", "rprivate", "ro"],
    });
  });

  it("leaves limits to the runtime unless they are given", () => {
    expect(config().process.rlimits).toBeUndefined();
  });
});

describe("mergeEnvironment", () => {
  it("keeps the place of the first and the value of the last", () => {
    expect(mergeEnvironment(["A=1", "B=2"], ["A=3=4", "C", "=x", "D="])).toEqual(["A=3=4", "B=2", "D="]);
  });
});

describe("hostnameOf", () => {
  it("is a valid host name for every instance name", () => {
    expect(hostnameOf("web.1_a")).toBe("web-1-a");
    expect(hostnameOf("...")).toBe("container");
    expect(hostnameOf("a".repeat(128))).toHaveLength(63);
  });
});
