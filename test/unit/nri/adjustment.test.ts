import { expect, test } from "vitest";
import { answerTo } from "../../../src/nri/adjustment.ts";
import { bytesOf, decode, encode, mapFields, mapOf, textOf } from "../../../src/nri/protobuf.ts";

const hook = { path: "/usr/bin/veneer", args: ["veneer", "--root", "/a b", "hook", "oci"] };

/** A CreateContainerRequest. */
function request(pod: Record<string, string>, own: Record<string, string> = {}, handler = "") {
  const podMessage = encode([[1, "id"], ...mapFields(6, pod), [7, handler]]);
  return decode(
    encode([
      [1, podMessage],
      [2, encode(mapFields(6, own))],
    ]),
  );
}

const adjustment = (answer: Uint8Array) => decode(bytesOf(decode(answer), 1));

test("a container of a pod with a base gets the hooks and the pod's annotations of ours", () => {
  const pod = { "run.veneer.base": "debian", "run.veneer.opaque": "none", "io.kubernetes.cri.x": "y" };
  const adjusted = adjustment(answerTo(request(pod), hook));
  expect(mapOf(adjusted, 2)).toEqual({ "run.veneer.base": "debian", "run.veneer.opaque": "none" });
  const hooks = decode(bytesOf(adjusted, 5));
  expect([...hooks.keys()]).toEqual([2, 6]);
  for (const kind of [2, 6]) {
    const call = decode(bytesOf(hooks, kind));
    expect(textOf(call, 1)).toBe(hook.path);
    expect(call.get(2)?.map((word) => Buffer.from(word as Uint8Array).toString())).toEqual(hook.args);
    expect(textOf(call, 3)).toMatch(/^PATH=/);
  }
});

test("a container's own annotation stays", () => {
  const own = { "run.veneer.base": "other" };
  const answer = answerTo(request({ "run.veneer.base": "debian", "run.veneer.mask": "/x" }, own), hook);
  expect(mapOf(adjustment(answer), 2)).toEqual({ "run.veneer.mask": "/x" });
});

test.each([
  ["names no base", request({ "run.veneer.opaque": "none" })],
  ["has the handler of the wrapping runtime", request({ "run.veneer.base": "debian" }, {}, "veneer")],
  ["is of a request without a pod", decode(new Uint8Array())],
])("nothing is changed of one that %s", (_what, given) => {
  expect(answerTo(given, hook)).toHaveLength(0);
});
