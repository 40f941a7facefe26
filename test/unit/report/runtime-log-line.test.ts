import { expect, it } from "vitest";
import { formatLogLine, logFile } from "../../../src/report/runtime-log-line.ts";

const date = new Date("2026-01-02T03:04:05.678Z");
const message = 'veneer: no base "x"';

it("writes what runc writes", () => {
  const text = 'time="2026-01-02T03:04:05Z" level=error msg="veneer: no base \\"x\\""';
  expect(formatLogLine("runc", undefined, message, date)).toBe(text);
  expect(formatLogLine("runc", "text", message, date)).toBe(text);
  expect(formatLogLine("runc", "json", message, date)).toBe(
    '{"level":"error","msg":"veneer: no base \\"x\\"","time":"2026-01-02T03:04:05Z"}',
  );
});

it("writes what crun writes", () => {
  expect(formatLogLine("crun", undefined, message, date)).toBe(message);
  expect(formatLogLine("crun", "text", message, date)).toBe(message);
  expect(formatLogLine("crun", "json", message, date)).toBe(
    '{"msg":"veneer: no base \\"x\\"","level":"error","time":"2026-01-02T03:04:05.678000Z"}',
  );
});

it("knows which words after --log are files", () => {
  expect(logFile("runc", "/x/log.json")).toBe("/x/log.json");
  expect(logFile("runc", "file:x")).toBe("file:x");
  expect(logFile("runc", undefined)).toBeUndefined();
  expect(logFile("runc", "")).toBeUndefined();
  expect(logFile("crun", "/x/log.json")).toBe("/x/log.json");
  expect(logFile("crun", "file:/x/log.json")).toBe("/x/log.json");
  expect(logFile("crun", "syslog:x")).toBeUndefined();
  expect(logFile("crun", "journald:x")).toBeUndefined();
});
