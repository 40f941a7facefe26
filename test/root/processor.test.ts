import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, expect, it } from "vitest";
import { makeHost, PROGRAM, sh } from "../helpers/host.ts";

const host = makeHost();
afterAll(() => host.remove());

it.runIf(process.arch === "x64")(
  "a processor without SSE4.2 is refused in one line, not by SIGILL",
  async () => {
    const cpuinfo = join(host.dir, "cpuinfo");
    writeFileSync(cpuinfo, readFileSync("/proc/cpuinfo", "utf8").replace(/ sse4_2| popcnt/g, ""));
    const script = 'mount --bind "$1" /proc/cpuinfo && exec "$2" doctor';
    const words = ["-m", "--propagation", "private", "sh", "-c", script, "sh", cpuinfo, PROGRAM];
    expect(await sh("unshare", words)).toMatchObject({
      status: 1,
      stdout: "",
      stderr: expect.stringMatching(/^veneer: .* has no sse4_2, popcnt; hint: .* \[PROCESSOR\]$/),
    });
  },
);
