/** Skips every test of a project where scripts/test.sh found that none can run; it has said why. */
import { rmSync } from "node:fs";
import { TestRunner } from "vitest";

export default class PrivilegedRunner extends TestRunner {
  constructor(config: ConstructorParameters<typeof TestRunner>[0]) {
    super(config);
    // tests whose name does not match the pattern are reported as skipped
    if (process.env.VENEER_TEST_SKIP) config.testNamePattern = /(?!)/;
  }

  /** What a file made when it was loaded: the hooks of skipped tests do not run. */
  override onAfterRunFiles(): void {
    super.onAfterRunFiles();
    const hosts = process.env.VENEER_TEST_HOSTS?.trim().split(" ") ?? [];
    for (const dir of hosts) rmSync(dir, { recursive: true, force: true });
  }
}
