// Writes the manual pages into a directory. usage: bun packaging/man.ts DIR VERSION
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { commandPage, generalPage, pageName, runtimePage } from "../src/cli/framework/man.ts";
import { GROUPS } from "../src/cli/framework/verbs.ts";

const [dir, version] = process.argv.slice(2);
if (dir === undefined || version === undefined) throw new Error("usage: man.ts DIR VERSION");

const groups = await Promise.all(
  GROUPS.map(async ({ title, verbs }) => ({
    title,
    commands: (await Promise.all(Object.values(verbs).map((load) => load()))).map(({ command }) => command),
  })),
);
writeFileSync(join(dir, "veneer.1"), generalPage(groups, version));
writeFileSync(join(dir, "veneer-runc.1"), runtimePage(version));
writeFileSync(join(dir, "veneer-crun.1"), ".so man1/veneer-runc.1\n");
for (const command of groups.flatMap(({ commands }) => commands)) {
  writeFileSync(join(dir, `${pageName(command)}.1`), commandPage(command, version));
}
