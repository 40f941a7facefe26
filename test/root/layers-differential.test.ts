/** Layers by a grammar (helpers/layer-grammar.ts), unpacked by veneer, umoci and podman: the same trees. */
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, describe, expect, it } from "vitest";
import { makeHost, must } from "../helpers/host.ts";
import { addImage } from "../helpers/image.ts";
import { bytesOf, type Grammar, type Layer, layersOf } from "../helpers/layer-grammar.ts";

/** Cases of each grammar, about; 1 to 80 of them are an image, each in a directory of its own. */
const CASES = Number(process.env.VENEER_LAYER_CASES ?? 120);
/** another one makes other cases */
const SEED = Number(process.env.VENEER_LAYER_SEED ?? 1);
const TOGETHER = 80;
/** of a test and of the search for a smaller case, in milliseconds */
const LIMIT = 240_000 + 20_000 * Math.ceil(CASES / TOGETHER);

const host = makeHost("/var/tmp");
afterAll(() => host.remove());

/** A case is a list of numbers, which the grammar reads as choices. */
const anyCases = fc.array(fc.array(fc.nat(0xffff), { maxLength: 400, size: "max" }), {
  minLength: 1,
  maxLength: TOGETHER,
  size: "max",
});

/** Layer 1 of the image has layer 1 of each case, and so on. */
function joined(all: readonly (readonly Layer[])[]): Layer[] {
  const depth = Math.max(...all.map((layers) => layers.length));
  return Array.from({ length: depth }, (_, number) => all.flatMap((layers) => layers[number] ?? []));
}

let count = 0;
function imageOf(layers: readonly Layer[]): string {
  const dir = join(host.dir, `image${++count}`);
  addImage(dir, "latest", layers.map(bytesOf), { compress: "none" });
  return dir;
}

/**
 * Lines of a tree by the case that they are of. Left out: times of directories, which engines give differently to implied
 * ones, and numbers of links, in which overlayfs counts names that a higher layer deletes.
 */
const SCRIPT = `
  find . -mindepth 1 \\( -type d -printf '%P|%y|%m|%U:%G\\n' -o -printf '%P|%y|%m|%U:%G|%T@|%l|%s\\n' \\)
  find . ! -type d -links +1 -printf '%P\\t%i\\n' | sort | awk -F '\\t' '!($2 in first) { first[$2] = $1 } $1 != first[$2] { print $1 "|is " first[$2] }'
  find . -type f -exec sha256sum {} + | sed -E 's/^([0-9a-f]+)  \\.\\/(.*)$/\\2|\\1/'
  find . -exec getfattr -h -d -m '^user\\.' -e hex {} + | awk '/^# file: / { name = substr($0, 9) } /^user/ { print name "|" $0 }'`;

async function treeOf(dir: string): Promise<Map<string, string[]>> {
  const env = { LC_ALL: "C", PATH: "/usr/bin:/bin:/usr/sbin:/sbin" };
  const byCase = new Map<string, string[]>();
  for (const line of (await must("sh", ["-c", SCRIPT], { cwd: dir, env })).split("\n").sort()) {
    const key = /^case[0-9]+/.exec(line)?.[0];
    if (key !== undefined) byCase.set(key, [...(byCase.get(key) ?? []), line]);
  }
  return byCase;
}

type Unpack = (image: string) => Promise<Map<string, string[]>>;

const byVeneer: Unpack = async (image) => {
  const id = `v${count}`;
  await host.ok("base", "import", id, `oci:${image}`);
  await host.ok("create", id, id, "--opaque", "none");
  const tree = await treeOf(await host.ok("mount", id));
  await host.ok("rm", "--force", id).catch(() => host.ok("umount", id).then(() => host.ok("rm", id)));
  await host.ok("base", "rm", id);
  return tree;
};

const byUmoci: Unpack = async (image) => {
  const bundle = join(host.dir, "unpacked");
  await must("umoci", ["unpack", "--image", `${image}:latest`, bundle]);
  const tree = await treeOf(join(bundle, "rootfs"));
  rmSync(bundle, { recursive: true });
  return tree;
};

const byPodman: Unpack = async (image) => {
  const conf = join(host.dir, "storage.conf");
  const [graph, run] = [join(host.dir, "graph"), join(host.dir, "graphrun")];
  writeFileSync(conf, `[storage]\ndriver = "overlay"\ngraphroot = "${graph}"\nrunroot = "${run}"\n`);
  const options = { env: { ...process.env, CONTAINERS_STORAGE_CONF: conf } as Record<string, string> };
  const name = "localhost/case:1";
  await must("skopeo", ["copy", "-q", `oci:${image}:latest`, `containers-storage:${name}`], options);
  const mounted = (await must("podman", ["image", "mount", name], options)).trim();
  const tree = await treeOf(mounted);
  await must("podman", ["image", "umount", name], options);
  await must("podman", ["rmi", "-f", name], options);
  return tree;
};

function differences(
  all: readonly (readonly Layer[])[],
  ours: Map<string, string[]>,
  theirs: Map<string, string[]>,
) {
  return all.flatMap((layers, index) => {
    const [a, b] = [ours, theirs].map((tree) => tree.get(`case${index}`) ?? []) as [string[], string[]];
    const here = a.filter((line) => !b.includes(line));
    const there = b.filter((line) => !a.includes(line));
    if (here.length + there.length === 0) return [];
    const entries = layers.map((layer) =>
      layer.map(({ type = "0", name, link = "" }) => `${type} ${name} ${link}`),
    );
    return [{ entries, veneer: here, other: there }];
  });
}

/** Compares images until about CASES cases are done; of one that differs the smallest case that does so is shown. */
async function same(
  grammar: Grammar,
  compare: (all: readonly (readonly Layer[])[], image: string) => Promise<void>,
) {
  let done = 0;
  const property = fc.asyncProperty(anyCases, async (choices) => {
    const all = choices.map((list, index) => layersOf(list, `case${index}`, grammar));
    done += all.length;
    await compare(all, imageOf(joined(all)));
  });
  const numRuns = Math.ceil((2 * CASES) / TOGETHER);
  await fc.assert(property, { numRuns, seed: SEED, interruptAfterTimeLimit: LIMIT - 60_000 });
  expect(done).toBeGreaterThan(0);
}

describe("layers of a grammar", () => {
  it(
    "become the trees that umoci and podman make",
    () =>
      same({ reaches: false }, async (all, image) => {
        const ours = await byVeneer(image);
        expect(ours.size).toBe(all.length);
        const [umoci, podman] = [await byUmoci(image), await byPodman(image)];
        expect({
          umoci: differences(all, ours, umoci),
          podman: differences(all, ours, podman),
        }).toEqual({ umoci: [], podman: [] });
      }),
    LIMIT,
  );

  it(
    "that reach below links and into lower layers become what umoci makes",
    () =>
      same({ reaches: true }, async (all, image) => {
        expect(differences(all, await byVeneer(image), await byUmoci(image))).toEqual([]);
      }),
    LIMIT,
  );
});
