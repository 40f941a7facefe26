import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, expect, it } from "vitest";
import { makeHost, PROGRAM, sh, storeOptions } from "../helpers/host.ts";
import { isLinux } from "../helpers/kernel.ts";

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

// what systemd does for MemoryDenyWriteExecute=, and what SELinux does where allow_execmem is off
it.runIf(process.arch === "x64" && isLinux("6.3"))(
  "a command that needs memory both writable and executable is refused in one line without it",
  async () => {
    const deny = "syscall(157, 65, 1, 0, 0, 0) == 0 or die $!; exec @ARGV or die $!"; // prctl(PR_SET_MDWE)
    const ours = [PROGRAM, ...storeOptions(host)];
    expect(await sh("perl", ["-e", deny, ...ours, "base", "ls"])).toMatchObject({
      status: 1,
      stdout: "",
      stderr: expect.stringMatching(
        /^veneer: [^\n]*writable and executable[^\n]*; hint: [^\n]*allow_execmem[^\n]*$/,
      ),
    });
    expect(await sh("perl", ["-e", deny, ...ours, "ls"])).toMatchObject({ status: 0, stderr: "" });
  },
);
