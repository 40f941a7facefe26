/**
 * A container that exchanges directories, mounts, names and processes all the time, while every verb that looks at
 * containers is at work: each ends, no file of the host is read or changed, and no other container is.
 */
import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { makeImage } from "../helpers/app-image.ts";
import { type Config, runtime } from "../helpers/bundle.ts";
import { startContainerd } from "../helpers/containerd.ts";
import { startDocker } from "../helpers/docker.ts";
import { compileFixture, makeHost, must, type Outcome, sh } from "../helpers/host.ts";
import { begin, plantVersions, type Running, waitUntilReady } from "../helpers/live.ts";
import { makeLxc } from "../helpers/lxc.ts";
import { makeTree } from "../helpers/tree.ts";

const host = makeHost("/srv");
const secrets = join(host.dir, "secrets");
const programs = join(host.dir, "programs");
const SECRET = "TOP-SECRET of the host";
let victim: Running;

beforeAll(async () => {
  plantVersions(host);
  for (const directory of [secrets, programs]) mkdirSync(directory);
  chmodSync(secrets, 0o700);
  for (let index = 0; index < 50; index++)
    writeFileSync(join(secrets, `file-${index}`), SECRET, { mode: 0o600 });
  await compileFixture("hostile", join(programs, "hostile"));
  const loop = "echo VICTIM-SECRET > /etc/secret; echo ready >/started; while :; do sleep 0.1; done";
  victim = await begin(host, "runc wrapped", loop, "victim");
  await waitUntilReady(victim);
});
afterAll(() => host.remove());

const COMMAND = `exec /programs/hostile ${secrets} >/started 2>&1`;
const within = (...args: string[]) =>
  sh("timeout", ["-k", "1", "100", join(host.bin, "veneer"), ...args], { env: { PATH: host.path } });
const holds = async (text: string, ...paths: string[]) =>
  (await sh("grep", ["-rqa", "--devices=skip", text, ...paths])).status === 0;

/** A refusal is an end, and says why in one line of its own; 124 and 137 are those of timeout. */
function expectEnd(words: readonly string[], { status, stderr }: Outcome): void {
  expect([0, 1], `${words.join(" ")}: ${stderr}`).toContain(status);
  // a rollout gives each member's reason in its table
  const table =
    words[0] === "rollout" && /^veneer: \d+ moved onto \S+, \d+ could not be moved$/m.test(stderr);
  if (status === 1 && !table) expect(stderr).toMatch(/^veneer: .* \[[A-Z0-9_]+\]$/m);
}

/** All verbs beside it; `exec` is run meanwhile, again and again. */
async function besides(id: string, exec: () => Promise<unknown>): Promise<void> {
  let ended = false;
  const running = (async () => {
    while (!ended) await exec();
  })();
  const calls = [
    ["ps", "--stale"],
    ["inspect", id],
    ["rebase", id, "b@2", "--dry-run"],
    ["rebase", id, "b@2"],
    ["rebase", id, "b@1", "--force"],
    ["rollout", "b"],
    ["base", "share", "b"],
    ["gc"],
    ["df"],
  ];
  const named = [
    ["diff", id],
    ["clone", id, `${id}-copy`],
    ["commit", id, `${id}-made`],
    ["fallback", id],
  ];
  try {
    const instances = JSON.parse(await host.ok("ls", "--json")) as { id: string }[];
    const isNamed = instances.some((one) => one.id === id);
    for (const words of isNamed ? [...named, ...calls] : calls) expectEnd(words, await within(...words));
  } finally {
    ended = true;
    await running;
  }
}

async function expectNobodyHarmed(): Promise<void> {
  expect(await holds(SECRET, host.root)).toBe(false);
  expect((await must("ls", [secrets])).split("\n")).toHaveLength(50);
  expect(await must("cat", [join(secrets, "file-1")])).toBe(SECRET);
  // the rollout moves the victim too, and that is all
  expect(await victim.exec("cat /etc/secret")).toBe("VICTIM-SECRET");
  const others = await must("sh", ["-c", `ls -d ${host.root}/instances/* | grep -v /victim$ || :`]);
  const paths = others.split("\n").filter((path) => path !== "");
  if (paths.length > 0) expect(await holds("VICTIM-SECRET", ...paths)).toBe(false);
}

it.each([
  ["runc wrapped", "evil-wrapped"],
  ["runc with the hook", "evil-hook"],
  ["crun wrapped", undefined],
] as const)("%s", { timeout: 600_000 }, async (way, instance) => {
  const edit = (config: Config) => {
    const all = ["CAP_SYS_ADMIN", "CAP_DAC_OVERRIDE", "CAP_SYS_CHROOT"];
    config.process.capabilities = { bounding: all, effective: all, permitted: all };
    config.mounts.push(
      { destination: "/programs", type: "bind", source: programs, options: ["bind", "ro"] },
      { destination: "/made/here", type: "tmpfs", source: "tmpfs", options: ["mode=755"] },
    );
  };
  const evil = await begin(host, way, COMMAND, instance, edit);
  await waitUntilReady(evil);
  const name = way.split(" ")[0] as string;
  await besides(instance ?? evil.id, () => runtime(host, name, ["exec", evil.id, "/bin/true"]));
  await evil.stop();
  await expectNobodyHarmed();
});

it("LXC", { timeout: 600_000 }, async () => {
  const lxc = makeLxc(host);
  try {
    const script = join(host.dir, "hostile-init");
    writeFileSync(script, `${COMMAND}\n`);
    lxc.container("evil-lxc", {
      hook: "--base b@1 --persistent",
      lines: [
        "lxc.init.cmd = /bin/sh /hostile-init",
        `lxc.mount.entry = ${script} hostile-init none bind,ro,create=file`,
        `lxc.mount.entry = ${programs} programs none rbind,create=dir`,
      ],
    });
    expect(await lxc.tool("start", "evil-lxc", "-d")).toMatchObject({ status: 0 });
    await besides("evil-lxc", () => lxc.tool("attach", "evil-lxc", "--", "/bin/true"));
  } finally {
    await lxc.stopAll();
  }
  await expectNobodyHarmed();
});

it("Docker", { timeout: 600_000 }, async () => {
  const docker = await startDocker(host);
  try {
    docker.configure({ environment: { bases: ["b"] } });
    const tar = join(host.dir, "image.tar");
    await must("tar", ["-C", makeTree(join(host.dir, "image")), "-cf", tar, "."]);
    expect(await docker.docker("import", tar, "app")).toMatchObject({ status: 0 });
    const words = ["--name", "evil", "-d", "--cap-add", "SYS_ADMIN", "-e", "VENEER_BASE=b@1"];
    const mounts = ["-v", `${programs}:/programs:ro`, "--tmpfs", "/made/here"];
    const started = await docker.run(...words, ...mounts, "app", "/bin/sh", "-c", COMMAND);
    expect(started).toMatchObject({ status: 0 });
    const rows = JSON.parse(await host.ok("ps", "--json")) as {
      instance: string | null;
      container: string;
    }[];
    const evil = rows.find((row) => row.instance !== "victim");
    const id = evil?.instance ?? (evil?.container as string);
    await besides(id, () => docker.docker("exec", "evil", "true"));
  } finally {
    await docker.docker("rm", "-f", "evil");
    await docker.stop();
  }
  await expectNobodyHarmed();
});

it("containerd", { timeout: 600_000 }, async () => {
  const containerd = await startContainerd(host);
  const exec = () => containerd.ctr("task", "exec", "--exec-id", `e${++execs}`, "evil", "/bin/true");
  let execs = 0;
  try {
    const archive = await makeImage(host.dir, "app", makeTree(join(host.dir, "image-tree")));
    const imported = await containerd.ctr("image", "import", "--base-name", "localhost/app", archive);
    expect(imported).toMatchObject({ status: 0 });
    const words = ["-d", "--cap-add", "CAP_SYS_ADMIN"];
    for (const [key, value] of [
      ["base", "b@1"],
      ["instance", "evil-containerd"],
      ["upper", "persistent"],
    ]) {
      words.push("--annotation", `run.veneer.${key}=${value}`);
    }
    const mounts = [
      `type=bind,src=${programs},dst=/programs,options=rbind:ro`,
      "type=tmpfs,src=tmpfs,dst=/made/here,options=mode=755",
    ].flatMap((one) => ["--mount", one]);
    const command = ["localhost/app:latest", "evil", "/bin/sh", "-c", COMMAND];
    expect(await containerd.run(...words, ...mounts, ...command)).toMatchObject({ status: 0 });
    await besides("evil-containerd", exec);
    // it is still containerd's own to end
    expect(await containerd.ctr("task", "kill", "-s", "KILL", "evil")).toMatchObject({ status: 0 });
  } finally {
    await containerd.stop();
  }
  await expectNobodyHarmed();
});
