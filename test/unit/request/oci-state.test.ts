/** OCI runtime specification, runtime.md, "State". */
import { describe, expect, it } from "vitest";
import { isStopped, parseState } from "../../../src/request/oci-state.ts";

/** The example of the specification. */
const EXAMPLE = {
  ociVersion: "0.2.0",
  id: "oci-container1",
  status: "running",
  pid: 4422,
  bundle: "/containers/redis",
  annotations: { myKey: "myValue" },
};
const parse = (changes: object) => parseState(JSON.stringify({ ...EXAMPLE, ...changes }));

describe("the state that a hook gets", () => {
  it("is read as the specification has it", () => {
    expect(parse({})).toMatchObject({
      id: "oci-container1",
      status: "running",
      pid: 4422,
      bundle: "/containers/redis",
      annotations: { myKey: "myValue" },
    });
  });

  it.each([
    ["nothing", ""],
    ["no JSON", "{"],
    ["an array", "[]"],
    ["no object", "null"],
    ["no id", JSON.stringify({ ...EXAMPLE, id: undefined })],
    ["a pid that is text", JSON.stringify({ ...EXAMPLE, pid: "4422" })],
    ["a relative bundle", JSON.stringify({ ...EXAMPLE, bundle: "containers/redis" })],
    ["an id that leads elsewhere", JSON.stringify({ ...EXAMPLE, id: "../x" })],
    ["an annotation that is no text", JSON.stringify({ ...EXAMPLE, annotations: { a: 1 } })],
  ])("%s is refused", (_, text) => {
    expect(() => parseState(text)).toThrow(
      expect.objectContaining({ name: expect.stringMatching(/^(Veneer|Usage)Error$/) }),
    );
  });

  it.each([
    [{ status: "stopped", pid: 0 }, true],
    [{ status: "stopped" }, true],
    [{ status: undefined, pid: 0 }, true],
    [{ status: undefined, pid: undefined }, true],
    [{ status: undefined, pid: 7 }, false],
    [{ status: "creating", pid: undefined }, false],
    [{ status: "created", pid: 7 }, false],
    [{ status: "running", pid: 7 }, false],
  ])("%j: stopped %s", (changes, expected) => {
    expect(isStopped(parse(changes))).toBe(expected);
  });
});
