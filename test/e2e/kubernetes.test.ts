/** The DaemonSet's script on a node with a containerd, a registry and pods over CRI; kubelet itself is not here. */
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { label } from "../helpers/app-image.ts";
import { type Containerd, containerdConfig, runContainerd } from "../helpers/containerd.ts";
import { CRI_CONFIG, type Cri, connectCri, importPodImages, type Pod, podMaker } from "../helpers/cri.ts";
import { readDaemonset } from "../helpers/daemonset.ts";
import { makeHost, must } from "../helpers/host.ts";
import { leftovers } from "../helpers/leftovers.ts";
import { configure, type Node, startNode } from "../helpers/node.ts";
import { type Registry, startRegistry } from "../helpers/registry.ts";
import { makeTree } from "../helpers/tree.ts";
import { waitFor } from "../helpers/wait.ts";

const host = makeHost();
const dir = join(host.dir, "containerd");
const logs = join(host.dir, "logs");
const original = `# of the administrator\n${containerdConfig(dir, CRI_CONFIG)}`;
let node: Node;
let registry: Registry;
let containerd: Containerd;
let cri: Cri;
let makePod: ReturnType<typeof podMaker>;
/** references by digest of the base's versions, oldest first */
const images: string[] = [];

const etc = (path: string) => join(node.dir, "etc", path);
const opt = (path: string) => join(node.dir, "opt/veneer", path);
const config = () => readFileSync(etc("containerd/config.toml"), "utf8");
const base = (image: string | undefined) => ({ bases: `debian docker://${image} --tls-verify=false\n` });

/** What `veneer` prints on the node. */
async function onNode(...args: string[]): Promise<string> {
  const [file = "", ...words] = [...node.enter, "/opt/veneer/bin/veneer", ...args];
  return must(file, words);
}

async function current(): Promise<string> {
  return `debian@${(await versions()).find((version) => version.startsWith("*"))?.slice(1)}`;
}

/** Versions on the node, newest first; * marks the current one. */
async function versions(): Promise<string[]> {
  const rows = JSON.parse(await onNode("base", "log", "debian", "--json"));
  return rows.map((row: { version: number; current: boolean }) => `${row.current ? "*" : ""}${row.version}`);
}

async function boot(): Promise<void> {
  containerd = await runContainerd(host, dir, "/etc/containerd/config.toml", node.enter);
  cri = await connectCri(containerd.socket);
  makePod = podMaker(cri, logs);
}

async function shutDown(): Promise<void> {
  cri.close();
  await containerd.daemon.stop();
}

async function whichOf(pod: Pod): Promise<string> {
  const id = await pod.start("main", "sleep 1000");
  return pod.exec(id, "cat", "/etc/which");
}

/** What pods of the runtime class get now. */
async function whichNow(): Promise<string> {
  const pod = await makePod("veneer", { "run.veneer.base": "debian" });
  try {
    return await whichOf(pod);
  } finally {
    await pod.remove();
  }
}

/** A base with all that takes a capability to unpack. */
async function fullTree(): Promise<string> {
  const tree = label(makeTree(join(host.dir, "tree")), "base 1");
  mkdirSync(join(tree, "srv"));
  writeFileSync(join(tree, "srv/gone"), "");
  const [busybox, owned] = [join(tree, "bin/busybox"), join(tree, "home/owned")];
  await must("mkdir", ["-m", "2750", owned]);
  await must("chown", ["7:8", owned]);
  await must("cp", [busybox, join(tree, "bin/capable")]);
  await must("setcap", ["cap_net_raw+ep", join(tree, "bin/capable")]);
  await must("cp", [busybox, join(tree, "bin/setuid")]);
  await must("chown", ["9:9", join(tree, "bin/setuid")]);
  await must("chmod", ["6711", join(tree, "bin/setuid")]);
  await must("mknod", [join(tree, "home/device"), "c", "1", "3"]);
  return tree;
}

beforeAll(async () => {
  for (const path of [dir, logs]) mkdirSync(path);
  registry = await startRegistry(join(host.dir, "registry"));
  await host.ok("base", "import", "debian", await fullTree());
  for (const version of [1, 2, 3]) {
    const change = `echo base ${version} >/etc/which; rm -rf /srv; mkdir /srv; echo ${version} >/srv/new`;
    if (version > 1) await host.ok("base", "edit", "debian", "--", "/bin/sh", "-c", change);
    const to = `${registry.address}/bases/debian:${version}`;
    const digest = await host.ok("base", "export", "debian", `docker://${to}`, "--tls-verify=false");
    images.push(`${registry.address}/bases/debian@${digest}`);
  }
  node = await startNode(
    join(host.dir, "node"),
    await readDaemonset(),
    `${dir}/state/io.containerd.runtime.v2.task`,
  );
  mkdirSync(etc("containerd"), { recursive: true });
  writeFileSync(etc("containerd/config.toml"), original);
  await boot();
  await importPodImages(host, containerd, label(makeTree(join(host.dir, "image")), "image"));
});

afterAll(async () => {
  cri?.close();
  await containerd?.stop();
  await registry?.stop();
  node?.stop();
  await host.remove();
});

describe("the DaemonSet's script", () => {
  it("installs program, configuration and base, and adds the handler to containerd's file", async () => {
    mkdirSync(etc("veneer"));
    writeFileSync(etc("veneer/config.json"), "{}\n");
    configure(node, {
      ...base(images[0]),
      "config.json": '{"annotations": {"bases": ["debian*"]}}\n',
      keep: "2\n",
    });
    const pid = containerd.daemon.pid;
    const outcome = await node.ok("install");
    expect(outcome.stdout).toMatch(/^\+.*BinaryName = "\/opt\/veneer\/bin\/veneer-runc"/m);
    expect(outcome.stderr).toMatch(/restart containerd on this node/);
    expect(config()).toContain("# of the administrator");
    expect(config()).toContain("/opt/veneer/bin/veneer-runc");
    expect(await current()).toBe("debian@1");
    expect(await onNode("config")).toMatch(/annotations.*debian\*/);
    expect(readdirSync(opt("bin")).sort()).toEqual([
      "veneer",
      "veneer-cli",
      "veneer-crun",
      "veneer-release",
      "veneer-runc",
    ]);
    // containerd goes on as it was, and the pod is not ready
    expect(containerd.daemon.pid).toBe(pid);
    expect((await node.script("ready")).status).toBe(1);
    await expect(makePod("veneer", {})).rejects.toThrow(/no runtime for "veneer"/);
  });

  it("restarts containerd where the ConfigMap says how, and not twice", async () => {
    configure(node, { restart: `kill ${containerd.daemon.pid}` });
    const running = node.ok("install");
    const before = containerd.daemon;
    cri.close();
    await waitFor(
      () =>
        !existsSync(`/proc/${before.pid}`) ||
        readFileSync(`/proc/${before.pid}/stat`, "utf8").includes(") Z "),
      30_000,
    );
    await boot();
    expect(await running).toMatchObject({ status: 0 });
    expect((await node.script("ready")).status).toBe(0);
    const { pid } = containerd.daemon;
    configure(node, { restart: `kill ${pid}` });
    expect(await node.script("install")).toMatchObject({ status: 0, stdout: "" });
    await containerd.ctr("version");
    expect((await node.script("ready")).status).toBe(0);
    configure(node, { restart: "" });
  });

  it("changes nothing the second time", async () => {
    const files = () =>
      [etc("containerd/config.toml"), ...readdirSync(opt("bin")).map((name) => opt(`bin/${name}`))].map(
        (path) => statSync(path).ino,
      );
    const before = files();
    const outcome = await node.ok("install");
    expect(outcome.stdout).toBe("");
    expect(outcome.stderr).toMatch(/version 1 is the current one/);
    expect(files()).toEqual(before);
    expect(await versions()).toEqual(["*1"]);
  });

  it("brings a base whole: owners, modes, devices, capabilities", async () => {
    const [layer] = JSON.parse(await onNode("base", "show", "debian", "--json")).layers;
    const at = (path: string) => join(layer.path.replace("/var/lib", join(node.dir, "var-lib")), path);
    const show = (...paths: string[]) => must("stat", ["-c", "%a %u:%g %F", ...paths.map(at)]);
    expect(await show("home/owned", "bin/setuid", "home/device")).toBe(
      "2750 7:8 directory\n6711 9:9 regular file\n644 0:0 character special file",
    );
    expect(await must("getcap", [at("bin/capable")])).toMatch(/cap_net_raw=ep$/);
    await onNode("base", "verify", "debian");
  });
});

describe("a pod of the runtime class", () => {
  let running: Pod;
  let container: string;

  it("starts on the base that its annotation names", async () => {
    running = await makePod("veneer", { "run.veneer.base": "debian" });
    container = await running.start("main", "sleep 1000");
    expect(await running.exec(container, "cat", "/etc/which")).toBe("base 1\n");
  });

  it("is refused a base that config.json does not allow", async () => {
    const pod = await makePod("veneer", { "run.veneer.base": "secret" });
    await expect(pod.start("main", "true")).rejects.toThrow(
      /veneer: annotation run\.veneer\.base may not name 'secret'; hint: /,
    );
    await pod.remove();
  });

  it("stays on its version when a new one comes, and new pods get the new one", async () => {
    configure(node, base(images[1]));
    await node.ok("install");
    expect(await current()).toBe("debian@2");
    expect(await running.exec(container, "cat", "/etc/which")).toBe("base 1\n");
    expect(await whichNow()).toBe("base 2\n");
    expect((await node.script("ready")).status).toBe(0);
  });

  it("loses nothing when the registry is down: old versions come back, the others stay", async () => {
    await registry.stop();
    configure(node, base(images[2]));
    const failed = await node.script("install");
    expect(failed.status).toBe(1);
    expect(failed.stderr).toMatch(/^veneer: import debian from .*refused/m);
    expect(failed.stderr).toMatch(
      /not brought up to date: debian; what the node had before is still in use$/,
    );
    expect(await current()).toBe("debian@2");
    expect((await node.script("ready")).status).toBe(0);
    expect(await whichNow()).toBe("base 2\n");
    configure(node, base(images[0]));
    await node.ok("install");
    expect(await whichNow()).toBe("base 1\n");
    configure(node, base(images[1]));
    await node.ok("install");
    registry = await startRegistry(join(host.dir, "registry"), registry.address);
  });

  it("holds its version when old ones are removed", async () => {
    configure(node, { ...base(images[2]), keep: "1" });
    await node.ok("install");
    // 1 is used, 2 is not
    expect(await versions()).toEqual(["*3", "1"]);
    expect(await running.exec(container, "cat", "/etc/which")).toBe("base 1\n");
  });

  it("is moved to the new version while it runs, by hand on the node", async () => {
    await running.exec(container, "sh", "-c", "echo mine >/etc/kept");
    await onNode("rebase", container, "debian");
    expect(await running.exec(container, "cat", "/etc/which", "/etc/kept")).toBe("base 3\nmine\n");
    const { stdout } = await node.ok("install");
    expect(stdout).toBe("");
    // the process that was started on 1 goes on with the program that it has from there
    expect(await versions()).toEqual(["*3", "1"]);
  });

  it("is not robbed by gc, which the DaemonSet runs on the node until it is told to end", async () => {
    mkdirSync(join(node.dir, "var-lib/veneer/trash/left"), { recursive: true });
    const keep = node.start("keep");
    const ended = new Promise((resolve) => keep.once("exit", (status) => resolve(status)));
    await waitFor(() => !existsSync(join(node.dir, "var-lib/veneer/trash/left")));
    keep.kill("SIGTERM");
    expect(await ended).toBe(0);
    await running.exec(container, "touch", "/etc/mine");
    expect(await running.exec(container, "ls", "/etc/mine")).toBe("/etc/mine\n");
  });

  it("keeps the programs on the node until it is gone, its sandbox too", async () => {
    const refused = await node.script("remove");
    expect(refused.status).toBe(1);
    expect(refused.stderr).toMatch(/containers on bases run here.*hint: drain the node/);
    await cri.call("StopContainer", { container_id: container, timeout: 0 });
    await cri.call("RemoveContainer", { container_id: container });
    const sandbox = await node.script("remove");
    expect(sandbox.status).toBe(1);
    expect(sandbox.stderr).toContain(`delete their pods: ${running.id}`);
    await running.remove();
    const own = { dir: node.dir, root: join(node.dir, "var-lib/veneer"), run: join(node.dir, "run/veneer") };
    await expect.poll(() => leftovers(own)).toEqual([]);
  });
});

describe("what is not right", () => {
  it.each([
    ['{"annotation": {}}', /annotation.*hint: .*annotations/],
    ['{"root": "/srv/veneer"}', /config\.json sets root or run; hint: /],
  ])("leaves the node as it is: config.json %s", async (text, message) => {
    const before = readFileSync(etc("veneer/config.json"), "utf8");
    writeFileSync(join(node.settings, "config.json"), text);
    const outcome = await node.script("install");
    expect(outcome.status).toBe(1);
    expect(outcome.stderr).toMatch(message);
    expect(readFileSync(etc("veneer/config.json"), "utf8")).toBe(before);
    expect(readdirSync(etc("veneer"))).toEqual(["config.json"]);
    writeFileSync(join(node.settings, "config.json"), before);
  });

  it("brings the other bases, and names the one that failed", async () => {
    const wrong = `wrong docker://${registry.address}/bases/none:1 --tls-verify=false\n`;
    configure(node, { bases: `# two\n${wrong}\nother docker://${images[0]} --tls-verify=false # last` });
    const outcome = await node.script("install");
    expect(outcome.status).toBe(1);
    expect(outcome.stderr).toMatch(/not brought up to date: wrong;/);
    expect(outcome.stderr).toMatch(/base other@1 is the current one/);
    configure(node, base(images[2]));
  });

  it("is put right after a kill between containerd's file and the note of it", async () => {
    writeFileSync(opt("restart"), "pending\n");
    expect((await node.script("ready")).status).toBe(1);
    expect((await node.ok("install")).stderr).toMatch(/restart containerd on this node/);
    expect((await node.script("ready")).status).toBe(1);
    await shutDown();
    await boot();
    expect((await node.script("ready")).status).toBe(0);
  });
});

describe("remove", () => {
  it("puts containerd's file and config.json back byte for byte, and leaves the bases", async () => {
    expect((await node.script("removed")).status).toBe(1);
    const outcome = await node.ok("remove");
    expect(outcome.stderr).toMatch(/restart containerd on this node/);
    expect(config()).toBe(original);
    expect(readFileSync(etc("veneer/config.json"), "utf8")).toBe("{}\n");
    expect(readdirSync(join(node.dir, "opt/veneer"))).toEqual(["lock"]);
    expect(readdirSync(join(node.dir, "var-lib/veneer/bases"))).toEqual(["debian", "other"]);
    expect((await node.script("removed")).status).toBe(0);
    expect((await node.ok("remove")).stderr).toMatch(/nothing is installed/);
  });

  it("can be followed by another install", async () => {
    expect((await node.ok("install")).stderr).toMatch(/version 3 is the current one/);
    await shutDown();
    await boot();
    expect(await whichNow()).toBe("base 3\n");
    expect((await node.ok("remove")).status).toBe(0);
    expect(config()).toBe(original);
  });
});
