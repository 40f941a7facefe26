import { describe, expect, it } from "vitest";
import { exitStatus, formatError, UsageError, VeneerError, withContext } from "../../src/errors.ts";

const nested = (innermost: unknown) =>
  new VeneerError("FAILED", "start web1", {
    cause: new VeneerError("MOUNT_FAILED", "mount debian@3", { hint: "outer", cause: innermost }),
  });

describe("formatError", () => {
  it("makes one line of all frames, with the innermost hint and code", () => {
    const error = nested(new VeneerError("NO_BASE", "no base debian", { hint: "import one" }));
    expect(formatError(error)).toBe("start web1: mount debian@3: no base debian; hint: import one [NO_BASE]");
  });

  it("keeps the hint and the code of an outer frame where the cause has none", () => {
    expect(formatError(nested(new Error("EBUSY")))).toBe(
      "start web1: mount debian@3: EBUSY; hint: outer [MOUNT_FAILED]",
    );
  });

  it("has no code where only a frame says what was being done", () => {
    expect(formatError(new VeneerError("FAILED", "start web1", { cause: new Error("EIO") }))).toBe(
      "start web1: EIO",
    );
  });

  it("joins lines, and takes what is no error", () => {
    expect(formatError(new Error("one\n  two"))).toBe("one two");
    expect(formatError("text")).toBe("text");
  });

  it("ends for an error that is its own cause", () => {
    const error = new Error("again");
    error.cause = error;
    expect(formatError(error).length).toBeLessThan(200);
  });
});

describe("exitStatus", () => {
  it("is 2 for wrong usage however deep, else 1", () => {
    expect(exitStatus(nested(new UsageError("unknown option")))).toBe(2);
    expect(exitStatus(nested(new Error("EIO")))).toBe(1);
  });
});

describe("withContext", () => {
  it("gives a failure a frame, and passes wrong usage as it is", () => {
    const fail = (error: Error) => () =>
      withContext("import debian", () => {
        throw error;
      });
    expect(fail(new Error("EIO"))).toThrow("import debian");
    const usage = new UsageError("unknown option");
    expect(fail(usage)).toThrow(usage);
  });
});
