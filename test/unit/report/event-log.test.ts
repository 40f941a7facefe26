import { describe, expect, it } from "vitest";
import { journalEntry } from "../../../src/report/event-log.ts";

describe("an entry of the journal", () => {
  it("has the event as JSON, and a field for each part that is there", () => {
    const entry = { time: "2026-01-01T00:00:00.000Z", event: "start", container: "c", instance: undefined };
    expect(journalEntry(entry).split("\n")).toEqual([
      `MESSAGE=${JSON.stringify(entry)}`,
      "PRIORITY=6",
      "SYSLOG_IDENTIFIER=veneer",
      "VENEER_EVENT=start",
      "VENEER_CONTAINER=c",
      "",
    ]);
  });

  it("of a failure is an error", () => {
    expect(journalEntry({ event: "error", message: "m" })).toContain("\nPRIORITY=3\n");
  });

  it("has no field that a value brings with it", () => {
    const lines = journalEntry({ event: "start", container: "c\nPRIORITY=0\n_UID=0" }).split("\n");
    expect(lines.filter((line) => /^(PRIORITY|_UID)=/.test(line))).toEqual(["PRIORITY=6"]);
    expect(lines).toContain("VENEER_CONTAINER=c PRIORITY=0 _UID=0");
  });
});
