import { expect, it } from "vitest";
import { parseRuntimeCall } from "../../../src/request/runtime-args.ts";

it.each([
  ["create --bundle /b id", { command: "create", bundle: "/b", id: "id" }],
  ["run -b /b --pid-file /p id", { command: "run", bundle: "/b", id: "id" }],
  ["run -b/b id", { command: "run", bundle: "/b", id: "id" }],
  ["run id", { command: "run", id: "id" }],
  ["run -- id", { command: "run", id: "id" }],
  [
    "--root /r --log /l --log-format json create --bundle=/b id",
    { command: "create", bundle: "/b", id: "id", root: "/r", log: "/l", logFormat: "json" },
  ],
  ["--systemd-cgroup create --no-pivot -b /b id", { command: "create", bundle: "/b", id: "id" }],
  ["run -f other.json id", { command: "run", config: "other.json", id: "id" }],
  [
    "restore --image-path /i --work-path /w --empty-ns network --manage-cgroups-mode soft --bundle /b id",
    { command: "restore", bundle: "/b", id: "id" },
  ],
  ["restore --detach --shell-job --lsm-profile x --console-socket /s id", { command: "restore", id: "id" }],
])("reads %s", (line, call) => {
  expect(parseRuntimeCall(line.split(" "))).toEqual(call);
});

it.each(["", "create", "create --bundle /b", "run --bundle", "create --help id", "run -h", "run --"])(
  "leaves '%s' to the runtime",
  (line) => {
    expect(parseRuntimeCall(line.split(" ").filter((word) => word !== ""))).toBeUndefined();
  },
);
