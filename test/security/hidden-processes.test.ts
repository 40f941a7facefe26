/**
 * Where /proc hides processes (hidepid in proc(5)), a user's commands, each in a user namespace of its own, see neither
 * its containers nor who started them: nothing that lives is taken for dead.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { makeHost, must, sh } from "../helpers/host.ts";
import { begin, plantVersions } from "../helpers/live.ts";
import { makeTree } from "../helpers/tree.ts";
import { makeUser, type User } from "../helpers/user.ts";
import { makeUserPodman, type UserPodman } from "../helpers/user-podman.ts";
import { waitFor } from "../helpers/wait.ts";

const host = makeHost("/srv");
const LOOP = "echo SECRET >/secret; echo ready; while :; do sleep 0.1; done";
const QUIET_LOOP = LOOP.replace("echo ready; ", "");
const COMMAND = ["sh", "-c", LOOP];

afterAll(() => host.remove());

interface Row {
  readonly container: string | null;
  readonly instance: string | null;
  readonly version: number;
  readonly pid: number | null;
}

describe.each([
  ["2", 47131, 900_000],
  ["1", 47132, 1_000_000],
  // all are shown, and the same holds
  ["0", 47133, 1_100_000],
])("hidepid=%s", (hidepid, uid, subordinate) => {
  let user: User;
  const rows = async () => JSON.parse(await user.ok("ps", "--json")) as Row[];
  const recordsIn = () => join(host.dir, user.name, "runtime/veneer/records");

  beforeAll(async () => {
    user = makeUser(host, { uid, subordinate, hidepid });
    const archive = join(host.dir, `tree-${uid}.tar`);
    await must("tar", ["-C", makeTree(join(host.dir, `tree-${uid}`)), "-cf", archive, "."]);
    await user.ok("base", "import", "deb", archive);
    await user.ok("base", "edit", "deb", "--", "touch", "/etc/newer");
    await user.ok("base", "use", "deb@1");
  });
  afterAll(() => user.end());

  it.skipIf(hidepid === "0")(
    "hides all processes from a command of the user in a user namespace",
    async () => {
      const look = "test -e /proc/self/stat && ! cat /proc/1/stat 2>/dev/null && ! cat /proc/$PPID/stat";
      const { status } = await user.sh("unshare", ["-Ur", "sh", "-c", `sh -c '${look}'; true`]);
      expect(status).toBe(0);
      const seen = await user.sh("unshare", ["-Ur", "cat", "/proc/1/stat"]);
      expect(seen).toMatchObject({ status: 1 });
    },
  );

  it.each<[string, string[], string | undefined]>([
    ["an anonymous container of another user id", ["--user", "33:33"], undefined],
    ["a container with an instance", [], "web"],
    ["a container whose upper is in memory", ["--tmpfs", "8M"], undefined],
  ])("%s runs on beside gc, is moved, and ends", async (_what, options, instance) => {
    const loop = options.includes("--user") ? LOOP.replace("/secret", "/tmp/secret") : LOOP;
    const secret = options.includes("--user") ? "/tmp/secret" : "/secret";
    const named = instance === undefined ? [] : ["--name", instance];
    const id = await user.ok("run", "deb", "-d", ...options, ...named, "--", "sh", "-c", loop);
    await waitFor(async () => (await user.veneer("logs", id)).stdout === "ready");
    const before = readdirSync(recordsIn()).length;
    expect(await rows()).toMatchObject([{ container: id, instance: instance ?? null, version: 1 }]);
    for (const words of [["gc"], ["gc", "--dry-run"], ["ls"], ["df"]]) {
      expect([words, (await user.veneer(...words)).status]).toEqual([words, 0]);
    }
    expect(readdirSync(recordsIn()).length).toBe(before);
    expect(await user.ok("exec", id, "--", "cat", secret)).toBe("SECRET");
    if (instance !== undefined) {
      for (const words of [
        ["rm", instance],
        ["cutover", instance, "deb@2"],
        ["run", "deb", "--name", instance, "--", "true"],
      ]) {
        const refused = await user.veneer(...words);
        expect([words, refused.status]).toEqual([words, 1]);
      }
      // moves what is stopped, and says how what runs is moved
      const rolled = await user.veneer("rollout", "deb@2");
      expect([0, 1], rolled.stderr).toContain(rolled.status);
      expect(await user.ok("exec", id, "--", "cat", secret)).toBe("SECRET");
    }
    if (!options.includes("--tmpfs")) {
      await user.ok("rebase", instance ?? id, "deb@2");
      expect(await rows()).toMatchObject([{ container: id, version: 2 }]);
      expect((await user.veneer("gc")).status).toBe(0);
      expect(await user.ok("exec", id, "--", "cat", secret, "/etc/newer")).toBe("SECRET");
    }
    await user.ok("stop", id, "--time", "0");
    await waitFor(async () => (await rows()).length === 0);
    await user.ok("gc");
    expect(readdirSync(recordsIn())).toEqual([]);
    if (instance !== undefined) await user.ok("rm", instance);
  });

  it("a record that is being made by a hidden process stays, and one of a process that is gone does not", async () => {
    const sleeper = await user.sh("sh", ["-c", "sleep 1000 >/dev/null 2>&1 & echo $!"]);
    const pid = Number(sleeper.stdout);
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8").replace(/.*\) /, "");
    const preparer = { pid, startTime: Number(stat.split(" ")[19]) };
    const record = {
      key: "c~0123456789abcdef",
      engine: "runtime",
      container: "c",
      ephemeral: "c~0123456789abcdef",
      base: "deb",
      version: 1,
      placement: "private",
      overlay: {},
      upper: join(user.store, "ephemeral/c~0123456789abcdef/upper"),
      preparer,
      created: new Date().toISOString(),
    };
    const file = join(recordsIn(), `${record.key}.json`);
    const write = (text: string) =>
      user.sh(
        "sh",
        [
          "-c",
          'mkdir -p "$1" && cat >"$2"',
          "sh",
          record.upper,
          join(user.run, "records", `${record.key}.json`),
        ],
        {
          input: text,
        },
      );
    expect(await write(`${JSON.stringify(record)}\n`)).toMatchObject({ status: 0 });
    await user.ok("gc");
    expect(existsSync(file)).toBe(true);
    process.kill(pid, "SIGKILL");
    await waitFor(async () => !existsSync(`/proc/${pid}`));
    await user.ok("gc");
    expect(existsSync(file)).toBe(false);
  });
});

describe("podman without root, whose precreate hook mounts the root where podman sees it, with hidepid=2", () => {
  const user = makeUser(host, { uid: 47134, subordinate: 1_200_000, hidepid: "2" });
  const records = join(host.dir, user.name, "runtime/veneer/records");
  let podman: UserPodman;
  beforeAll(async () => {
    const archive = join(host.dir, "tree-of-podman.tar");
    await must("tar", ["-C", makeTree(join(host.dir, "tree-of-podman")), "-cf", archive, "."]);
    await user.ok("base", "import", "deb", archive);
    podman = await makeUserPodman(host, user);
    await podman.useHook("precreate.d");
  });
  afterAll(async () => {
    await podman?.removeAll();
    await podman?.run(["system", "migrate"]);
    user.end();
  });

  it("a container runs on beside gc, and keeps what it wrote", async () => {
    const words = [
      "run",
      "-d",
      "--network",
      "none",
      "--annotation",
      "run.veneer.base=deb",
      "localhost/app:1",
    ];
    const id = await podman.ok("--runtime", "runc", ...words, ...COMMAND);
    await waitFor(async () => (await podman.run(["logs", id])).stdout.includes("ready"));
    // older than what an engine may take to create a container
    const [name = ""] = readdirSync(records).filter((one) => one.endsWith(".json"));
    const file = join(records, name);
    const record = JSON.parse(readFileSync(file, "utf8"));
    writeFileSync(file, `${JSON.stringify({ ...record, created: "2020-01-01T00:00:00.000Z" })}\n`);
    expect(JSON.parse(await user.ok("ps", "--json"))).toMatchObject([{ instance: null, version: 1 }]);
    await user.ok("gc");
    expect(existsSync(file)).toBe(true);
    expect(await podman.ok("exec", id, "cat", "/secret")).toBe("SECRET");
    expect(await podman.ok("exec", id, "sh", "-c", "echo more >/more && cat /more")).toBe("more");
    await podman.ok("rm", "-f", "-t", "0", id);
    await waitFor(() => !existsSync(file));
  });
});

describe("root without CAP_SYS_PTRACE, beside a container with more capabilities", () => {
  /** As a service with a CapabilityBoundingSet= and ProtectProc=invisible. */
  const confined = (...words: string[]) =>
    sh("unshare", [
      ...["-m", "--propagation", "private", "sh", "-c"],
      `mount -t proc -o hidepid=2 proc /proc && exec setpriv --bounding-set=-sys_ptrace --inh-caps=-sys_ptrace "$@"`,
      ...["sh", join(host.bin, "veneer"), ...words],
    ]);

  it.each([
    ["an upper on disk", "1"],
    ["an upper in memory", "2"],
  ])("gc frees nothing of it: %s", async (what, mark) => {
    if (mark === "1") plantVersions(host);
    const container = await begin(host, "runc wrapped", QUIET_LOOP, undefined, (config) => {
      if (what.endsWith("memory")) config.annotations["run.veneer.tmpfs"] = "8M";
      const all = [...(config.process.capabilities as { bounding: string[] }).bounding, "CAP_SYS_PTRACE"];
      config.process.capabilities = { bounding: all, effective: all, permitted: all };
    });
    const records = readdirSync(join(host.run, "records"));
    mkdirSync(join(host.dir, `seen-${mark}`));
    expect(await confined("gc")).toMatchObject({ status: 0 });
    expect(readdirSync(join(host.run, "records"))).toEqual(records);
    const { stdout } = await confined("ps", "--json");
    expect(JSON.parse(stdout)).toMatchObject([{ container: container.id }]);
    await waitFor(async () => (await container.exec("cat /secret")) === "SECRET");
    await container.stop();
  });
});
