import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { makeHost, must } from "../helpers/host.ts";
import { makeTree } from "../helpers/tree.ts";
import { makeUser } from "../helpers/user.ts";
import { makeUserPodman, type UserPodman } from "../helpers/user-podman.ts";
import { waitFor } from "../helpers/wait.ts";

const host = makeHost();
const user = makeUser(host, { uid: 47112 });
let podman: UserPodman;
beforeAll(async () => {
  const archive = join(host.dir, "tree.tar");
  const text = 'cd "$1" && echo base >etc/which && chown 33:34 home && tar --numeric-owner -cf "$2" .';
  await must("sh", ["-c", text, "sh", makeTree(join(host.dir, "tree")), archive]);
  await user.ok("base", "import", "b", archive);
  podman = await makeUserPodman(host, user);
});
afterEach(async () => {
  await podman.removeAll();
  await waitFor(() => records().length === 0);
});
afterAll(async () => {
  // the process that keeps podman's namespaces
  await podman?.run(["system", "migrate"]);
  user.end();
  await host.remove();
});

const records = () => list(join(host.dir, user.name, "runtime/veneer/records"));
const list = (directory: string) => (existsSync(directory) ? readdirSync(directory) : []);
const NET = ["--network", "none"];
const BASE = ["--annotation", "run.veneer.base=b"];
const KEPT = [
  ...BASE,
  "--annotation",
  "run.veneer.instance=web",
  "--annotation",
  "run.veneer.upper=persistent",
];

describe.each([
  ["veneer-runc", join(user.bin, "veneer-runc"), "none"],
  ["veneer-crun", join(user.bin, "veneer-crun"), "none"],
  ["createRuntime with runc", "runc", "hooks.d"],
  ["createRuntime with crun", "crun", "hooks.d"],
  ["precreate with runc", "runc", "precreate.d"],
  ["precreate with crun", "crun", "precreate.d"],
] as const)("rootless podman: %s", (_name, runtime, hook) => {
  beforeAll(() => podman.useHook(hook));
  const run = (...args: string[]) => podman.run(["--runtime", runtime, "run", ...NET, ...args]);

  it("gives a container the user's base, with its owners and a volume", async () => {
    const text = `cat /etc/which /data/file; stat -c %u:%g /home; chown 5 /etc/which && stat -c %u /etc/which
      ls -A /tmp; mount | grep -c ' / type overlay'; exit 3`;
    const volume = join(user.home, "data");
    await user.sh("sh", ["-c", 'mkdir -p "$1" && echo volume >"$1/file"', "sh", volume]);
    const outcome = await run("--rm", ...BASE, "-v", `${volume}:/data`, "localhost/app:1", "sh", "-c", text);
    expect(outcome).toMatchObject({ status: 3, stdout: "base\nvolume\n33:34\n5\n1" });
    expect((await run("--rm", "localhost/app:1", "cat", "/etc/which")).stdout).toBe("image");
  });

  it("keeps a named upper that veneer shows, and refuses a second container on it", async () => {
    const id = (await run("-d", ...KEPT, "localhost/app:1", "sh", "-c", "echo it >/kept; exec sleep 1000"))
      .stdout;
    // podman tells precreate no id
    expect(await user.ok("ps")).toMatch(hook === "precreate.d" ? / web / : new RegExp(id.slice(0, 12)));
    expect((await user.veneer("gc")).status).toBe(0);
    const second = await run("--rm", ...KEPT, "localhost/app:1", "true");
    expect(second.status).toBe(126);
    const to = await user.ok("base", "edit", "b", "--", "touch", "/etc/newer");
    const moved = await user.veneer("rebase", "web", "b");
    expect(moved).toMatchObject({ status: 0, stderr: expect.stringContaining(to) });
    expect(await podman.ok("exec", id, "ls", "/etc/newer", "/kept")).toBe("/etc/newer\n/kept");
    await podman.ok("rm", "-f", "-t", "0", id);
    expect((await run("--rm", ...KEPT, "localhost/app:1", "cat", "/kept")).stdout).toBe("it");
    expect(await user.ok("diff", "web")).toContain("A /kept");
    expect((await user.veneer("run", "b", "--name", "web", "--", "cat", "/kept")).stdout).toBe("it");
    await user.ok("rm", "web");
  });

  it("does not start a container on a base that the user does not have", async () => {
    const outcome = await run("--rm", "--annotation", "run.veneer.base=nosuch", "localhost/app:1", "true");
    expect(outcome.status).toBe(126);
    if (hook === "none" || runtime === "runc")
      expect(outcome.stderr).toContain(`no base nosuch in ${user.store}`);
  });
});

describe("podman of a user", () => {
  it("is told why a base cannot have other ids in a namespace within its own", async () => {
    await podman.useHook("hooks.d");
    const outcome = await podman.run([
      "run",
      "--rm",
      "--userns=keep-id",
      ...NET,
      ...BASE,
      "localhost/app:1",
      "true",
    ]);
    expect(outcome).toMatchObject({
      status: 126,
      stderr: expect.stringMatching(/leave out --userns and --uidmap/),
    });
  });

  it("is set up by veneer setup podman, and back", async () => {
    await podman.useHook("none");
    const written = (await user.ok("setup", "podman")).split("\n");
    expect(written).toEqual([
      join(user.home, ".config/containers/containers.conf.d/veneer.conf"),
      join(user.home, ".config/containers/oci/hooks.d/veneer.json"),
    ]);
    // podman's usual files, but for what a small machine needs
    const extra = join(user.home, ".config/containers/containers.conf");
    const text = 'sed /hooks_dir/d "$1" >"$2"';
    await user.sh("sh", ["-c", text, "sh", join(user.home, "conf/containers.conf"), extra]);
    const plain = (...args: string[]) =>
      podman.run(["run", "--rm", ...NET, ...BASE, ...args, "localhost/app:1", "cat", "/etc/which"], {
        env: { CONTAINERS_CONF: "" },
      });
    expect(await plain()).toMatchObject({ status: 0, stdout: "base" });
    const named = [
      "--runtime",
      "veneer",
      "run",
      "--rm",
      ...NET,
      ...BASE,
      "localhost/app:1",
      "cat",
      "/etc/which",
    ];
    expect(await podman.run(named, { env: { CONTAINERS_CONF: "" } })).toMatchObject({
      status: 0,
      stdout: "base",
    });
    await user.ok("unsetup", "podman");
    for (const file of written) expect(existsSync(file)).toBe(false);
    expect(await user.veneer("setup", "docker")).toMatchObject({
      status: 2,
      stderr: expect.stringContaining("set up by root"),
    });
  });
});
