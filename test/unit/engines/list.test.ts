import { describe, expect, it } from "vitest";
import type { FileChange } from "../../../src/engines/engine.ts";
import { ENGINES } from "../../../src/engines/list.ts";

const change = (name: string) =>
  ENGINES.find((engine) => engine.name === name)?.changes({ etc: "/etc", bin: "/b" })[0] as FileChange;

describe("docker's daemon.json", () => {
  const file = change("docker");
  const other = '{\n    "log-driver": "json-file",\n    "runtimes": { "x": { "path": "/x" } }\n}';

  it("gets a runtime and keeps all else as it is written", () => {
    const changed = file.add(other);
    expect(JSON.parse(changed).runtimes).toEqual({ x: { path: "/x" }, veneer: { path: "/b/veneer-runc" } });
    expect(
      changed.startsWith('{\n    "log-driver": "json-file",\n    "runtimes": { "x": { "path": "/x" }'),
    ).toBe(true);
    expect(file.add(changed)).toBe(changed);
    expect(JSON.parse(file.remove(changed) as string)).toEqual(JSON.parse(other));
  });

  it("is made where there is none", () => {
    expect(file.add(undefined)).toBe(
      '{\n  "runtimes": {\n    "veneer": {\n      "path": "/b/veneer-runc"\n    }\n  }\n}\n',
    );
  });

  it.each(["[]", '{"runtimes": []}', '{"a": 1,}', '{"a": 1 // comment\n}', "nonsense"])(
    "is left alone when it is %s",
    (text) => {
      expect(() => file.add(text)).toThrow(/daemon\.json is not what the engine expects/);
    },
  );
});

describe("containerd's config.toml", () => {
  const file = change("containerd");
  const other = `# mine
version = 2
root = "/srv" # here

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "pause:3"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    # the usual one
    runtime_type = "io.containerd.runc.v2"
`;

  it("gets a runtime and keeps comments, order and spacing", () => {
    const changed = file.add(other);
    for (const line of other.trimEnd().split("\n")) expect(changed).toContain(line);
    expect(changed).toContain("/b/veneer-runc");
    expect(file.add(changed)).toBe(changed);
    expect(file.remove(changed)).toBe(other);
  });

  it("is made where there is none, and then knows itself", () => {
    const fresh = file.add(undefined);
    expect(fresh).toContain('BinaryName = "/b/veneer-runc"');
    expect(file.add(fresh)).toBe(fresh);
  });

  it("has another plugin in version 3", () => {
    expect(file.add("version = 3\n")).toContain("io.containerd.cri.v1.runtime");
  });

  it.each(["", "version = 1\n", "version = 2\nplugins = 1\n", "= nonsense"])(
    "is left alone when it is %j",
    (text) => {
      expect(() => file.add(text)).toThrow(/config\.toml is not what the engine expects/);
    },
  );
});
