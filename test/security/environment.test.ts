/** Variables of a caller are data to the large program, and reach neither its run time nor its linker and allocator. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { makeHost, must } from "../helpers/host.ts";
import { plantVersions } from "../helpers/live.ts";

const host = makeHost("/srv");
const env = {
  PATH: host.path,
  BUN_JSC_dumpOptions: "1",
  BUN_OPTIONS: "--print 1",
  MIMALLOC_VERBOSE: "1",
  LD_PRELOAD: "/nowhere.so",
  NO_COLOR: "1",
  OWN: "value",
};

beforeAll(() => plantVersions(host));
afterAll(() => host.remove());

it("the large program has none of them in its environment, and hands them to what it runs for the caller", async () => {
  const seen = join(host.dir, "seen");
  // the large program waits for timeout(1), which waits for this
  const script = `#!/bin/sh
parent=$(sed -n 's/^PPid:[[:space:]]*//p' /proc/$PPID/status)
tr '\\0' '\\n' </proc/$parent/environ >${seen}
readlink /proc/$parent/exe >>${seen}
echo $OWN >>${seen}
`;
  writeFileSync(join(host.dir, "look"), script, { mode: 0o755 });
  await must(join(host.bin, "veneer"), ["create", "one", "b@1"], { env });
  await must(join(host.bin, "veneer"), ["mount", "one", join(host.dir, "m")], { env });
  await must(join(host.bin, "veneer"), ["rollout", "b@2", "--check", `exec ${join(host.dir, "look")}`], {
    env,
  });
  const lines = readFileSync(seen, "utf8").trim().split("\n");
  // a check of the caller's has the caller's variables
  expect(lines.pop()).toBe("value");
  expect(lines.pop()).toMatch(/veneer-cli$/);
  expect(lines).toEqual([expect.stringMatching(/^VENEER_ENVIRONMENT_DESCRIPTOR=[0-9]+$/)]);
});

it("-e NAME hands on the caller's", async () => {
  const bundle = join(host.dir, "bundle");
  await must(join(host.bin, "veneer"), ["bundle", "b", bundle, "-e", "OWN", "--", "sh"], { env });
  expect(JSON.parse(readFileSync(join(bundle, "config.json"), "utf8")).process.env).toContain("OWN=value");
});
