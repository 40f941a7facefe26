// Holds src/ against the map of rooms in CONTRIBUTING.md; part of `npm run lint`.
//
// 1. Imports point down the map: a room knows itself and those below it.
// 2. Rooms of the small program import no `node:*`, `bun:*` or package, use no global of Node.js or Bun, and
//    nothing asynchronous; `src/main.ts` reaches nothing else, but for the verbs of `src/cli/small.ts`.
// 3. System calls are made in `src/sys/` alone: elsewhere nothing calls `syscall(`.
// 4. A room has at most 25 files; a file of more than 250 lines says why at its head ("250 lines").
//
// usage: check-rooms.mjs [PROJECT]      exits 1 with one line a fault
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { basename, dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";

const project = process.argv[2] ?? join(dirname(fileURLToPath(import.meta.url)), "..");
const faults = [];

/** Rooms from the top down, as the two tables of CONTRIBUTING.md name them: | `cli/` | … */
function readMap() {
  const text = readFileSync(join(project, "CONTRIBUTING.md"), "utf8");
  const [, large = "", small = ""] = text.split(/^### The (?:large|small) program.*$/m);
  const rooms = (part) => [...part.matchAll(/^\| `([\w-]+)(?:\/|\.ts)` /gm)].map((match) => match[1]);
  return { rooms: [...rooms(large), ...rooms(small)], small: new Set(rooms(small)) };
}

/** Files that break a rule for now: rule → files. The list only shrinks: an entry that is not needed is a fault. */
const exceptions = JSON.parse(readFileSync(join(project, "scripts/rooms-exceptions.json"), "utf8"));
const used = new Set();

function fault(file, rule, text) {
  if (exceptions[rule]?.includes(file)) used.add(`${rule} ${file}`);
  else faults.push(`src/${file}: ${text}`);
}

const { rooms, small } = readMap();
const roomOf = (file) => (file.includes("/") ? file.slice(0, file.indexOf("/")) : file.replace(/\.ts$/, ""));
const height = (room) => rooms.indexOf(room);

/** Comments and the contents of strings, which may mention anything, are blanked. */
function codeOf(text) {
  const token = /\/\*[\s\S]*?\*\/|\/\/[^\n]*|"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'/g;
  return text.replace(token, (found) => (found.startsWith("/") ? "" : '""'));
}

/** What stands for the large program alone: the small one has a module of the same name in sys/quickjs. */
const hasTwin = (file) =>
  /^sys\/[\w-]+\.ts$/.test(file) && existsSync(join(project, "src/sys/quickjs", basename(file)));

function* importsOf(text) {
  const statement =
    /^(?:import|export)\s+(type\s)?[^;"]*?from\s*"([^"]+)"|^import\s+"([^"]+)"|\bimport\(\s*"([^"]+)"/gm;
  for (const [, type, from, bare, dynamic] of text.matchAll(statement)) {
    yield { name: from ?? bare ?? dynamic, type: type !== undefined };
  }
}

function checkFile(file, text) {
  const room = roomOf(file);
  const isEntry = file === "cli.ts";
  const isSmall = small.has(room) || file === "main.ts";
  if (height(room) < 0 && !isEntry && file !== "main.ts") {
    fault(file, "map", "is in no room of CONTRIBUTING.md's map");
    return;
  }
  for (const { name, type } of importsOf(text)) {
    if (!name.startsWith(".")) {
      if (isSmall && !type && !hasTwin(file))
        fault(file, "small", `imports ${name}, which the small program does not have`);
      continue;
    }
    const target = relative("", join(dirname(file), name));
    const other = roomOf(target);
    if (target.startsWith("..") || other === "generated") continue;
    if (file === "main.ts") {
      // the verbs that both programs know: build-small.mjs sees to it that nothing foreign gets in by them
      if (!small.has(other) && target !== "cli/small.ts")
        fault(file, "small", `imports ${target}, which is no part of the small program`);
    } else if (!isEntry && height(other) < height(room)) {
      fault(file, "down", `imports ${target}: ${other} is above ${room}`);
    }
  }
  const code = codeOf(text);
  if (room !== "sys" && /\bsyscall\(/.test(code)) fault(file, "syscall", "makes a system call outside sys/");
  if (isSmall && !hasTwin(file)) {
    const global =
      /(?<![.\w])(?:(?:Bun|Buffer|console|globalThis)\.|(?:fetch|setTimeout|structuredClone)\(|process\.(?:argv|env|exit|exitCode|stdin|stdout|stderr|execPath|getuid|on)\b)/;
    const found = code.match(global)?.[0] ?? code.match(/\b(?:async|await|Promise)\b/)?.[0];
    if (found) fault(file, "globals", `uses ${found}, which the small program does not have`);
  }
  const lines = text.split("\n").length - 1;
  if (lines > 250 && !/250 lines/.test(text.slice(0, 2000)))
    fault(file, "long", `has ${lines} lines and does not say why`);
}

const counts = new Map();
for (const entry of readdirSync(join(project, "src"), { recursive: true, withFileTypes: true })) {
  const path = relative(join(project, "src"), join(entry.parentPath, entry.name));
  if (!entry.isFile() || !path.endsWith(".ts") || path.startsWith("generated/")) continue;
  counts.set(dirname(path), (counts.get(dirname(path)) ?? 0) + 1);
  checkFile(path, readFileSync(join(project, "src", path), "utf8"));
}
for (const [room, files] of counts)
  if (files > 25) faults.push(`src/${room}: has ${files} files, more than 25`);
for (const [rule, files] of Object.entries(exceptions)) {
  for (const file of files) {
    if (!used.has(`${rule} ${file}`))
      faults.push(`scripts/rooms-exceptions.json: ${rule} ${file} is not needed any more`);
  }
}
for (const line of faults) console.error(line);
process.exitCode = faults.length > 0 ? 1 : 0;
