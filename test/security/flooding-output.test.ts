/** A container in the background that writes as fast as it can: it fills nothing, and nobody reads without end. */
import { existsSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { makeHost, must, sh } from "../helpers/host.ts";
import { plantVersions } from "../helpers/live.ts";
import { waitFor } from "../helpers/wait.ts";

const host = makeHost("/srv");
beforeAll(() => plantVersions(host));
afterAll(() => host.remove());

const LIMIT = 8 * 1024 * 1024;

it("logs ends, though its reader is slower than the container writes", async () => {
  const id = await host.ok("run", "b@1", "-d", "--name", "flood", "--", "sh", "-c", "yes 0123456789abcdef");
  const logs = join(host.run, "logs");
  const sizes = () =>
    (existsSync(logs) ? readdirSync(logs) : []).flatMap(
      // the older one goes when the writer begins another
      (name) => statSync(join(logs, name), { throwIfNoEntry: false })?.size ?? [],
    );
  try {
    await waitFor(() => sizes().length === 2);
    // about 2 MB a second
    const slowly =
      "while dd bs=100k count=1 iflag=fullblock 2>/dev/null | grep -c '' | grep -v '^0$'; do sleep 0.05; done";
    const call = `timeout 100 "$1" logs "$2" | ${"{"} ${slowly}; } | wc -l`;
    const { status, stdout } = await sh("sh", ["-c", call, "sh", join(host.bin, "veneer"), id], {
      env: { PATH: host.path },
    });
    // each is a piece of 100 KiB
    expect([status, Number(stdout) * 100 * 1024 <= LIMIT + 200 * 1024]).toEqual([0, true]);
    expect(Number(stdout)).toBeGreaterThan(1);
    const size = (
      await must("sh", ["-c", '"$1" logs "$2" | wc -c', "sh", join(host.bin, "veneer"), id])
    ).trim();
    expect(Number(size)).toBeLessThanOrEqual(LIMIT);
    expect(Number(size)).toBeGreaterThan(LIMIT / 8);
    for (const length of sizes()) expect(length).toBeLessThanOrEqual(LIMIT / 2);
  } finally {
    await host.ok("stop", "flood", "--time", "0");
  }
});
