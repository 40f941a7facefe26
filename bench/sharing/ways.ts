/** Ways to have many containers of one Debian. */
import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { VENEER } from "../context.ts";
import { endAll, quiet, settle, start } from "../members.ts";
import { dockerWithImage, IMAGE, podmanWithImage } from "../peers/engines.ts";
import type { Scene } from "../peers/scene.ts";
import { makeBundle, veneerRunc } from "../runc.ts";

export interface Way {
  readonly name: string;
  /** what it keeps of containers is below it */
  readonly directory: string;
  /** what they read is below these, as far as it is elsewhere */
  readonly lower?: string;
  /** so many containers at most: what they take is beyond a machine */
  readonly most?: number;
  /** Does what must not be in the page cache from its making. */
  prepare?(ids: readonly string[]): void;
  run(id: string, command: readonly string[]): Promise<unknown>;
  end(ids: readonly string[]): Promise<unknown>;
  /** what it says itself that all of it takes on disk, in bytes */
  says?(): number;
}

export const WAYS: Readonly<Record<string, (scene: Scene) => Way | Promise<Way>>> = {
  "veneer-runc": ours,
  podman: podmanWay,
  Docker: dockerWay,
  "cp -a and runc": copyWay,
};

function ours({ setting, tree }: Scene): Way {
  const state = join(setting.dir, "sharing-state");
  return {
    name: "veneer-runc",
    directory: join(setting.root, "ephemeral"),
    lower: tree,
    run(id, command) {
      const bundle = makeBundle(setting, `bundle-${id}`, command, { "run.veneer.base": "debian" });
      return start([...veneerRunc(setting), "--root", state, "run", "-d", "--bundle", bundle, id]);
    },
    async end(ids) {
      await endAll(ids, state);
      await quiet(setting);
    },
    says() {
      const df = execFileSync(VENEER, [...setting.options, "df", "--json"], { encoding: "utf8" });
      return JSON.parse(df).total.bytes;
    },
  };
}

function copyWay({ setting, tree, host }: Scene): Way {
  const state = join(setting.dir, "sharing-state");
  const made = join(host.dir, "made");
  const place = join(host.dir, "copies");
  mkdirSync(place);
  mkdirSync(made);
  return {
    name: "cp -a and runc",
    directory: place,
    most: 10,
    prepare(ids) {
      for (const id of ids) execFileSync("cp", ["-a", "--reflink=auto", tree, join(made, id)]);
    },
    run(id, command) {
      const bundle = makeBundle(setting, `copied-${id}`, command, {});
      const root = join(place, id);
      renameSync(join(made, id), root);
      const file = join(bundle, "config.json");
      const config = JSON.parse(readFileSync(file, "utf8"));
      writeFileSync(file, JSON.stringify({ ...config, root: { path: root } }));
      return start(["runc", "--root", state, "run", "-d", "--bundle", bundle, id]);
    },
    async end(ids) {
      await endAll(ids, state);
      execFileSync("rm", ["-rf", "--one-file-system", made, place]);
      await settle(setting);
    },
  };
}

async function podmanWay(scene: Scene): Promise<Way> {
  const podman = await podmanWithImage(scene);
  return {
    name: "podman",
    directory: join(scene.host.dir, "podman"),
    run: (id, command) => podman.ok("run", "-d", "--name", id, "--network", "none", IMAGE, ...command),
    end: () => podman.removeAll(),
  };
}

async function dockerWay(scene: Scene): Promise<Way> {
  const { docker } = await dockerWithImage(scene);
  const must = async (...words: string[]) => {
    const { status, stderr } = await docker.docker(...words);
    if (status !== 0) throw new Error(`docker ${words[0]}: ${stderr}`);
  };
  return {
    name: "Docker",
    directory: join(scene.host.dir, "docker"),
    run: (id, command) => must("run", "-d", "--name", id, "--network", "none", IMAGE, ...command),
    end: async (ids) => void (await docker.docker("rm", "-f", ...ids)),
  };
}
