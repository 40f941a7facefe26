/** Containers with user namespaces: what idmapped layers add to a start, and what they save against a chown. */
import { chmodSync, cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { makeImage } from "../test/helpers/app-image.ts";
import { plantBase } from "../test/helpers/base.ts";
import { type Host, must } from "../test/helpers/host.ts";
import { IMAGE, makePodman } from "../test/helpers/podman.ts";
import { emptyStore, has, PATH, type Setting, unmountBelow } from "./context.ts";
import { type Contender, interleave } from "./measure.ts";
import { makeBundle, runContender, veneerRunc } from "./runc.ts";
import { compare, type Report, type Row } from "./table.ts";

const GOAL = 1.1;
/** Files of the larger base; with --quick. */
const FILES = { usual: 50_000, quick: 5_000 };
const IMAGE_FILES = 5_000;

export async function benchUserns(setting: Setting, runs: number, quick = false): Promise<Report> {
  try {
    return await measure(setting, runs, quick);
  } finally {
    // namespaces that are kept, and podman's store
    unmountBelow(setting);
  }
}

async function measure(setting: Setting, runs: number, quick: boolean): Promise<Report> {
  // ids of the namespaces pass through
  chmodSync(setting.dir, 0o711);
  const files = quick ? FILES.quick : FILES.usual;
  const large = growTree(setting, "large", files);
  plantBase(storeOf(setting), "large", large);
  const runtime = veneerRunc(setting);
  const bundle = (name: string, base: string | undefined, mapped: boolean) => {
    const annotations = base === undefined ? undefined : { "run.veneer.base": base };
    const dir = makeBundle(setting, `userns-${name}`, ["/bin/true"], annotations);
    if (mapped) mapIds(dir);
    return dir;
  };
  const contenders = [
    runContender(setting, "runc run", ["runc"], bundle("plain", undefined, false)),
    runContender(setting, "runc run, userns", ["runc"], bundle("plain-mapped", undefined, true)),
    runContender(setting, "veneer-runc run", runtime, bundle("base", "bench", false)),
    runContender(setting, "veneer-runc run, userns", runtime, bundle("base-mapped", "bench", true)),
    runContender(setting, `veneer-runc run, userns, ${files} files`, runtime, bundle("large", "large", true)),
  ];
  const results = await interleave(contenders, runs);
  emptyStore(setting);
  const find = (name: string) => results.find((result) => result.name === name)?.median ?? Number.NaN;
  const own = find("veneer-runc run, userns") / find("veneer-runc run");
  const plain = find("runc run, userns") / find("runc run");
  const rows: Row[] = [
    {
      what: "veneer-runc run with a base, with against without a user namespace, less what it costs plain runc",
      // where plain runc is quicker with one, that is no cost of ours
      ratio: own / Math.max(1, plain),
      goal: GOAL,
    },
    { what: "of it: veneer-runc run with a base, with against without a user namespace", ratio: own },
    { what: "of it: plain runc run, with against without a user namespace", ratio: plain },
    compare(
      `a base of ${files} files, against a small one, with a user namespace`,
      results,
      `veneer-runc run, userns, ${files} files`,
      "veneer-runc run, userns",
      GOAL,
    ),
  ];
  const missing = ["podman", "skopeo", "umoci", "jq"].filter((program) => !has(program));
  if (missing.length > 0) {
    rows.push({ what: "podman run --uidmap", skipped: `not installed: ${missing.join(", ")}` });
    return { title: "User namespaces", rows, results };
  }
  const podman = await podmanResults(setting, Math.max(3, Math.floor(runs / 6)));
  const row = (of: string, against: string, what: string) => compare(what, podman, of, against);
  rows.push(
    row(
      "podman, veneer base",
      "podman, image, chowned",
      `podman run --uidmap with a new map: a base of ${IMAGE_FILES} files, against an image of them that podman chowns`,
    ),
    row(
      "podman, veneer base",
      "podman, image",
      "the same, against an image that podman idmaps (4.3 and later)",
    ),
  );
  return { title: "User namespaces", rows, results: [...results, ...podman] };
}

const storeOf = (setting: Setting) => ({ root: setting.root }) as Host;

/** The base's tree and `count` small files. */
function growTree(setting: Setting, name: string, count: number): string {
  const tree = join(setting.dir, `tree-${name}`);
  cpSync(setting.tree, tree, { recursive: true, verbatimSymlinks: true });
  for (let index = 0; index < count; index++) {
    const file = join(tree, `srv/${Math.floor(index / 100)}/${index % 100}`);
    if (index % 100 === 0) mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, String(index));
  }
  return tree;
}

function mapIds(bundle: string): void {
  const file = join(bundle, "config.json");
  const config = JSON.parse(readFileSync(file, "utf8"));
  const ranges = [{ containerID: 0, hostID: 100000, size: 65536 }];
  config.linux.namespaces.push({ type: "user" });
  config.linux = { ...config.linux, uidMappings: ranges, gidMappings: ranges };
  writeFileSync(file, JSON.stringify(config));
}

/**
 * Each run with a map of its own: podman then copies and chowns an image, and keeps that copy, or idmaps it where it
 * and the kernel can, which it notes in a file of its own.
 */
async function podmanResults(setting: Setting, runs: number) {
  const dir = join(setting.dir, "podman-host");
  mkdirSync(join(dir, "bin"), { recursive: true });
  chmodSync(dir, 0o711);
  const wrapper = join(dir, "bin/veneer-runc");
  const words = veneerRunc(setting).map((word) => `'${word}'`);
  writeFileSync(wrapper, `#!/bin/sh\nexec ${words.join(" ")} "$@"\n`, { mode: 0o755 });
  const host = { dir, bin: join(dir, "bin"), path: PATH } as Host;
  const podman = await makePodman(host);
  const tree = growTree(setting, "image", IMAGE_FILES);
  plantBase(storeOf(setting), "podman", tree);
  const archive = await makeImage(dir, "full", tree, ["--config.cmd", "/bin/sh"]);
  const store = `[overlay@${join(dir, "podman/graph")}+${join(dir, "podman/run")}]`;
  const full = "localhost/full:1";
  await must("skopeo", ["copy", "-q", `oci-archive:${archive}:latest`, `containers-storage:${store}${full}`]);
  const features = join(dir, "podman/run/overlay");
  const note = (word: string) => {
    for (const old of ["true", "false"]) rmSync(join(features, `idmapped-lower-dir-${old}`), { force: true });
    writeFileSync(join(features, `idmapped-lower-dir-${word}`), "");
  };
  let next = 200_000;
  const contender = (name: string, options: { base?: boolean; chown?: boolean }): Contender => ({
    name,
    env: podman.env,
    before: () => note(options.chown ? "false" : "true"),
    command: () => {
      next += 65_536;
      const map = `0:${next}:65536`;
      const maps = ["--uidmap", map, "--gidmap", map];
      const base = options.base ? ["--annotation", "run.veneer.base=podman"] : [];
      const global = options.base ? ["--runtime", wrapper] : [];
      const image = options.base ? IMAGE : full;
      return ["podman", ...global, "run", "--rm", "--network", "none", ...base, ...maps, image, "/bin/true"];
    },
  });
  try {
    return await interleave(
      [
        contender("podman, image, chowned", { chown: true }),
        contender("podman, image", {}),
        contender("podman, veneer base", { base: true }),
      ],
      runs,
    );
  } finally {
    await podman.removeAll();
    emptyStore(setting);
  }
}
