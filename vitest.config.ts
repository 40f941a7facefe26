import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";
import { PATIENCE } from "./test/helpers/wait.ts";

// unit: pure modules on Node. root: the compiled program with real mounts. e2e: with real engines. security: attackers' programs.
// All but unit run in one worker each: they share the kernel, and two cores are few.
const serial = {
  fileParallelism: false,
  maxWorkers: 1,
  // generous: other work on the machine makes nothing wrong
  testTimeout: 240_000 * Math.min(PATIENCE, 5),
  hookTimeout: 300_000 * Math.min(PATIENCE, 5),
  expect: { poll: { interval: 50, timeout: 30_000 * PATIENCE } },
  runner: "./test/helpers/privileged-runner.ts",
} as const;

const noSystemCalls = fileURLToPath(new URL("test/helpers/no-system-calls.ts", import.meta.url));

export default defineConfig({
  // groups run at once, each with a cache of its own
  cacheDir: `node_modules/.vite/${process.env.VENEER_TEST_GROUP ?? "all"}`,
  test: {
    projects: [
      {
        // bun:ffi, which the large program makes system calls with, does not exist on Node
        resolve: { alias: [{ find: /^\.\/primitive\.ts$/, replacement: noSystemCalls }] },
        test: {
          name: "unit",
          include: ["test/unit/**/*.test.ts"],
          pool: "threads",
          testTimeout: 60_000,
          isolate: false,
        },
      },
      { test: { name: "root", include: ["test/root/**/*.test.ts"], ...serial } },
      { test: { name: "security", include: ["test/security/**/*.test.ts"], ...serial } },
      { test: { name: "e2e", include: ["test/e2e/**/*.test.ts"], ...serial } },
    ],
  },
});
