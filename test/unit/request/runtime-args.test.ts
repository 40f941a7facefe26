import { describe, expect, it } from "vitest";
import { readRuntimeArguments } from "../../../src/request/runtime-args.ts";

const read = (runtime: string, line: string) =>
  readRuntimeArguments(runtime, line === "" ? [] : line.split(" "));
const call = (command: string, id: string, rest: object = {}) => ({
  kind: "call",
  call: { command, id, ...rest },
});

describe.each(["runc", "crun"])("%s: a call", (runtime) => {
  it.each([
    ["run web1", call("run", "web1")],
    ["create --bundle /b web1", call("create", "web1", { bundle: "/b" })],
    ["create --bundle=/b web1", call("create", "web1", { bundle: "/b" })],
    ["run -b /b web1", call("run", "web1", { bundle: "/b" })],
    ["run -d -b /b web1", call("run", "web1", { bundle: "/b" })],
    ["run --bundle /a -b /b web1", call("run", "web1", { bundle: "/b" })],
    ["run -b /a --bundle /b web1", call("run", "web1", { bundle: "/b" })],
    ["run --bundle= web1", call("run", "web1")],
    ["run --pid-file run --bundle create web1", call("run", "web1", { bundle: "create" })],
    ["run --pid-file --bundle web1", call("run", "web1")],
    ["run -- web1", call("run", "web1")],
    ["-- run web1", call("run", "web1")],
    [
      "--root /r --log /l --log-format json create web1",
      call("create", "web1", { root: "/r", log: "/l", logFormat: "json" }),
    ],
    [
      "--root=/r --debug --systemd-cgroup restore --image-path /i web1",
      call("restore", "web1", { root: "/r" }),
    ],
    ["--log create create web1", call("create", "web1", { log: "create" })],
    ["checkpoint --leave-running web1", call("checkpoint", "web1")],
  ])("%s", (line, expected) => expect(read(runtime, line)).toEqual(expected));
});

describe.each(["runc", "crun"])("%s: nothing to prepare", (runtime) => {
  it.each([
    "",
    "state web1",
    "exec web1 run web1",
    "--root /r kill web1 KILL",
    "run",
    "run --bundle",
    "create --bundle /b",
    "--root",
    "run web1 web2",
    "run -- web1 -b /b",
    "run --help web1",
    "create --help",
    "--help run web1",
    "--version",
    "--version run web1",
    "toString web1",
    "constructor",
    "__proto__ web1",
  ])("%s", (line) => expect(read(runtime, line)).toEqual({ kind: "other" }));
});

describe("runc", () => {
  it.each([
    ["run -bundle /b web1", call("run", "web1", { bundle: "/b" })],
    ["-root /r run -bundle=/b web1", call("run", "web1", { bundle: "/b", root: "/r" })],
    ["run -b=/b web1", call("run", "web1", { bundle: "/b" })],
    // it moves options that stand behind the operand
    ["run web1 --bundle /b", call("run", "web1", { bundle: "/b" })],
    ["run web1 -b /b --detach", call("run", "web1", { bundle: "/b" })],
    // its newest versions take global options there
    ["run --root /r --bundle /b web1", call("run", "web1", { bundle: "/b", root: "/r" })],
    ["--systemd-cgroup=false run --detach=true web1", call("run", "web1")],
    ["--rootless true run web1", call("run", "web1")],
    ["run --help=false web1", call("run", "web1")],
    ["--criu /c run web1", call("run", "web1")],
    ["run --preserve-fds 3 --pidfd-socket /s web1", call("run", "web1")],
  ])("%s", (line, expected) => expect(read("runc", line)).toEqual(expected));

  it("takes no letters that are joined", () => {
    // -db would be an option of its own
    expect(read("runc", "run -db /b web1")).toEqual(call("run", "web1"));
    expect(read("runc", "run -- -d")).toEqual(call("run", "-d"));
  });
});

describe("crun", () => {
  it.each([
    ["run -b/b web1", call("run", "web1", { bundle: "/b" })],
    ["run -db /b web1", call("run", "web1", { bundle: "/b" })],
    ["run -db/b web1", call("run", "web1", { bundle: "/b" })],
    ["run -b=/b web1", call("run", "web1", { bundle: "=/b" })],
    ["run -bundle=/b web1", call("run", "web1", { bundle: "undle=/b" })],
    ["run --bund /b web1", call("run", "web1", { bundle: "/b" })],
    ["run --bu=/b --conf c.json web1", call("run", "web1", { bundle: "/b", config: "c.json" })],
    ["run -f c.json web1", call("run", "web1", { config: "c.json" })],
    ["--roo /r --cgroup-m disabled run web1", call("run", "web1")],
    ["--log-level debug --rootless 0 run web1", call("run", "web1")],
    ["restore --tcp-close web1 more", call("restore", "web1")],
  ])("%s", (line, expected) => expect(read("crun", line)).toEqual(expected));

  it.each([
    "run web1 --bundle /b",
    "run -?",
    "run --us web1",
    "-V",
    "-v run web1",
    "run --no",
    "run web1 -d",
  ])("starts nothing: %s", (line) => expect(read("crun", line)).toEqual({ kind: "other" }));
});

describe.each(["runc", "crun"])("%s: an option that is not known", (runtime) => {
  it.each([
    ["run --bundle /b --new web1", call("run", "web1", { bundle: "/b" })],
    ["run --bundle /b --new value web1", call("run", "web1", { bundle: "/b" })],
    ["run --bundle /b --new=value web1", call("run", "web1", { bundle: "/b" })],
    ["--new run --bundle /b web1", call("run", "web1", { bundle: "/b" })],
    ["--new value run --bundle /b web1", call("run", "web1", { bundle: "/b" })],
    ["--new state web1", { kind: "other" }],
    ["--new value kill web1", { kind: "other" }],
  ])("leaves one meaning: %s", (line, expected) => expect(read(runtime, line)).toEqual(expected));

  it("leaves two", () => {
    expect(read(runtime, "create --bundle=/b --new --bundle=/a web1")).toEqual({
      kind: "unclear",
      option: "--new",
      calls: expect.arrayContaining([{ command: "create", id: "web1", bundle: "/b" }]),
    });
  });

  it("that stands there too often is never followed without end", () => {
    const many = ["run", ...Array.from({ length: 40 }, () => "--new"), "--bundle", "/b", "web1"];
    expect(readRuntimeArguments(runtime, many)).toMatchObject({ kind: "unclear", option: "--new" });
  });
});

it("keeps bytes that are not UTF-8", () => {
  expect(readRuntimeArguments("runc", ["run", "-b", "/b\udcff", "w"])).toEqual(
    call("run", "w", { bundle: "/b\udcff" }),
  );
});
