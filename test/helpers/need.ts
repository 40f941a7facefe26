/** Skipping by trying: a test that needs something of the host attempts it, and says why it cannot run. */
import type { TestContext } from "vitest";

const PRIVILEGE = /EPERM|EACCES|Operation not permitted|Permission denied/i;
const ABSENT = /ENOENT|ENODEV|ENOSYS|ENOTSUP|not found|unknown filesystem type|No such device|not supported/i;

/**
 * Runs `attempt`. What it throws skips the test when it comes from missing privilege or from something that
 * the host does not have; any other failure is the test's. With CI=true nothing is skipped.
 */
export async function need<T>(context: TestContext, what: string, attempt: () => T | Promise<T>): Promise<T> {
  try {
    return await attempt();
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error);
    if (process.env.CI || !(PRIVILEGE.test(text) || ABSENT.test(text))) throw error;
    return context.skip(`needs ${what}: ${text.split("\n")[0]}`);
  }
}
