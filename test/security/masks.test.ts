/** What is masked is seen by no container: whichever upper it has, and whichever version it is given while it runs. */
import { chmodSync, existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { plantBase } from "../helpers/base.ts";
import { type Config, makeBundle, nextId, runtime } from "../helpers/bundle.ts";
import { makeHost, must } from "../helpers/host.ts";
import { begin, waitUntilReady } from "../helpers/live.ts";
import { makeTree } from "../helpers/tree.ts";
import { mapIds, range } from "../helpers/userns.ts";
import { waitFor } from "../helpers/wait.ts";
import { storeArguments } from "../helpers/wrapper.ts";

const host = makeHost("/srv");
const SECRETS = ["/etc/keys/host", "/etc/keys/host2", "/etc/vault", "/etc/vault/deep/key"];

beforeAll(() => {
  for (const version of [1, 2]) {
    const tree = makeTree(join(host.dir, `tree${version}`));
    mkdirSync(join(tree, "etc/keys"));
    mkdirSync(join(tree, "etc/vault/deep"), { recursive: true });
    writeFileSync(join(tree, "etc/version"), `${version}\n`);
    writeFileSync(join(tree, "etc/keys/host"), "SECRET");
    writeFileSync(join(tree, "etc/keys/plain"), "plain");
    writeFileSync(join(tree, "etc/vault/deep/key"), "SECRET");
    // new in the second version
    if (version === 2) {
      writeFileSync(join(tree, "etc/keys/host2"), "SECRET");
      mkdirSync(join(tree, "etc/late"));
      writeFileSync(join(tree, "etc/late/key"), "SECRET");
    }
    plantBase(host, "b", tree, version);
  }
});
beforeEach(() => mask());
afterAll(() => host.remove());

/** What the administrator masks from now on. */
function mask(...patterns: string[]): void {
  const { root, run } = host;
  writeFileSync(join(host.dir, "veneer.json"), JSON.stringify({ root, run, mask: patterns }));
}

/** A verb with that configuration. */
const verb = (...words: string[]) => host.ok("--config", join(host.dir, "veneer.json"), ...words);

/** A running container on b@1, started with that configuration. */
function running(way: string, command: string, name: string | undefined, edit?: (config: Config) => void) {
  const globals = way.endsWith("wrapped") ? storeArguments(host, join(host.dir, "veneer.json")) : [];
  return begin(host, way, command, name, edit, 0, globals);
}

/** What a container that starts now shows of the secrets, each on a line, and its output before. */
async function once(annotations: Record<string, string>, script = "true"): Promise<string[]> {
  const id = nextId();
  const bundle = makeBundle(join(host.dir, `bundle-${id}`), `${script}; ${SEE}`, (config) => {
    Object.assign(config.annotations, annotations);
  });
  const outcome = await runtime(host, "veneer-runc", ["run", "-b", bundle, id]);
  expect(outcome).toMatchObject({ status: 0, stderr: "" });
  return outcome.stdout.split("\n").filter((line) => line !== "");
}

const SEE = `for f in ${SECRETS.join(" ")}; do test ! -e $f || echo $f; done`;

describe("an upper that was made before there was a mask", () => {
  const named = (instance: string) => ({
    "run.veneer.base": "b@1",
    "run.veneer.instance": instance,
    "run.veneer.upper": "persistent",
  });

  it("is masked at its next start by the configuration", async () => {
    expect(await once(named("later"))).toEqual(["/etc/keys/host", "/etc/vault", "/etc/vault/deep/key"]);
    mask("/etc/keys/host*", "/etc/vault");
    expect(await once(named("later"))).toEqual([]);
  });

  it("is masked at its next start by an annotation, and stays so without", async () => {
    await once(named("asked"));
    expect(await once({ ...named("asked"), "run.veneer.mask": "/etc/keys/host" })).not.toContain(
      "/etc/keys/host",
    );
    expect(await once(named("asked"))).not.toContain("/etc/keys/host");
  });

  it("is masked below a directory that the container has changed, and keeps what it made there", async () => {
    await once(
      named("changed"),
      "echo own > /etc/vault/deep/own; echo own > /etc/vault/mine; rm -f /etc/keys/plain",
    );
    mask("/etc/keys/host*", "/etc/vault");
    expect(await once(named("changed"), "cat /etc/vault/mine /etc/vault/deep/own; ls /etc/keys")).toEqual([
      "own",
      "own",
      "/etc/vault",
    ]);
  });

  it("keeps a file of the container's own under the masked name", async () => {
    await once(named("own"), "rm /etc/keys/host; echo mine > /etc/keys/host");
    mask("/etc/keys/host*");
    expect(await once(named("own"), "cat /etc/keys/host")).toContain("mine");
  });

  it("is masked when it is mounted by hand", async () => {
    await once(named("hand"));
    mask("/etc/keys/host*");
    const at = join(host.dir, "at");
    await verb("mount", "hand", at);
    expect(await must("ls", [join(at, "etc/keys")])).toBe("plain");
    await host.ok("umount", "hand");
    expect(await host.ok("diff", "hand")).toBe("");
  });
});

describe.each([
  ["an anonymous container", undefined],
  ["an instance", "live"],
] as const)("%s that runs", (_, instance) => {
  it.each(["runc wrapped", "runc with the hook"])(
    "%s: has the masks of its start on the version that it is given",
    async (way) => {
      mask("/etc/keys/host*");
      const name = instance && `${instance}-${way.split(" ").at(-1)}`;
      const container = await running(way, "exec sleep 1000", name, (config) => {
        config.annotations["run.veneer.mask"] = "/etc/vault";
        if (way.endsWith("hook"))
          config.hooks.createRuntime?.[0]?.args?.push("--mask", "/etc/vault", "--mask", "/etc/keys/host*");
      });
      expect(await container.exec(SEE)).toBe("");
      // not the configuration's any more: the container's own
      mask();
      await verb("rebase", name ?? container.id, "b@2");
      expect(await container.exec(`cat /etc/version; ${SEE}`)).toBe("2");
      await container.stop();
    },
  );

  it("gets a mask that is new with the version that it is given", async () => {
    const name = instance && `${instance}-new`;
    const container = await running("runc wrapped", "exec sleep 1000", name);
    await container.exec("echo own > /etc/vault/own");
    mask("/etc/keys/host*", "/etc/vault");
    await verb("rebase", name ?? container.id, "b@2");
    expect(await container.exec(`cat /etc/vault/own; ${SEE}`)).toBe("own\n/etc/vault");
    await container.stop();
  });

  it("is not shown a masked file because it had its own under that name for a moment", async () => {
    const name = instance && `${instance}-race`;
    mask("/etc/keys/host*");
    const flip = "while :; do echo own > /etc/keys/host2; rm /etc/keys/host2; done";
    const container = await running("runc wrapped", flip, name);
    await verb("rebase", name ?? container.id, "b@2");
    expect(await container.exec("cat /etc/keys/host2 2>/dev/null || :")).not.toContain("SECRET");
    await container.stop();
  });
});

describe("a process that stays on the root of before", () => {
  const LATE = ["/etc/keys/host2", "/etc/late/key"];
  /** Makes a file over what hides one, and removes it: through its root, which has no such file below. */
  const strip = LATE.map((path) => path.slice("/etc/".length)).map(
    (path) => `echo own > ${path}; rm ${path}`,
  );
  const script = `echo own > /etc/keys/own; cd /etc; echo ready > /started
    while ! grep -q 2 /etc/version; do sleep 0.1; done
    for n in 1 2 3; do ${strip.join("; ")}; rmdir late; done; echo done > /done; exec sleep 1000`;

  it.each([
    ["an anonymous container", undefined, undefined],
    ["an instance", "old", undefined],
    ["one with a user namespace", "old-mapped", (config: Config) => mapIds(config, range(100000))],
  ] as const)("does not take the masks of the version after away: %s", async (_, instance, edit) => {
    mask(...LATE);
    chmodSync(host.dir, 0o711);
    const container = await running("runc wrapped", script, instance, edit);
    await waitUntilReady(container);
    await verb("rebase", instance ?? container.id, "b@2");
    await waitFor(() => existsSync(`/proc/${container.pid}/root/done`));
    expect(await container.exec(`cat /etc/version; cat ${LATE.join(" ")} 2>/dev/null || :`)).toBe("2");
    await container.stop();
  });
});

describe("an instance that goes back", () => {
  it("is masked on the generation of before", async () => {
    await host.ok("create", "back", "b@1");
    await host.ok("cutover", "back", "b@2");
    mask("/etc/keys/host*");
    await verb("fallback", "back");
    const upper = join(host.root, "instances/back/1/upper/etc/keys");
    expect(await must("ls", [upper])).toBe("host");
  });
});
