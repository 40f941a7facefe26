// Brings node_modules to what package-lock.json says when it is missing or differs. Modification times say nothing
// after a checkout, so the versions are compared with what npm noted at the last install. npm ci would insist on
// optional packages for other systems, which not every registry has.
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");

function packages(file) {
  return JSON.parse(readFileSync(join(root, file), "utf8")).packages;
}

/** Why an install is needed, or undefined. */
function reason() {
  const wanted = packages("package-lock.json");
  let installed;
  try {
    installed = packages("node_modules/.package-lock.json");
  } catch {
    return "node_modules is missing";
  }
  for (const [path, { version, optional, dev }] of Object.entries(wanted)) {
    if (path === "") continue;
    const found = installed[path]?.version;
    if (found === undefined && (optional || (dev === undefined && wanted[path].devOptional))) continue;
    if (found !== version) return `${path} is ${found ?? "missing"}, not ${version}`;
  }
  return undefined;
}

const why = reason();
if (why !== undefined) {
  console.error(`npm install: ${why}`);
  execFileSync("npm", ["install", "--no-save", "--no-audit", "--no-fund", "--loglevel=error"], {
    cwd: root,
    stdio: ["ignore", 2, "inherit"],
  });
}
