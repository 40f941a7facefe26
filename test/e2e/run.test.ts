import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { execa } from "execa";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { plantBase } from "../helpers/base.ts";
import { makeHost, must, PROGRAM, sh, storeOptions } from "../helpers/host.ts";
import { makeTree } from "../helpers/tree.ts";
import { waitFor } from "../helpers/wait.ts";

const host = makeHost();
const tree = join(host.dir, "tree");
beforeAll(() => {
  makeTree(tree);
  plantBase(host, "tree", tree);
});
afterAll(async () => {
  for (const runtime of ["runc", "crun"]) {
    const state = join(host.run, runtime);
    for (const id of left(state)) await sh(runtime, ["--root", state, "delete", "--force", id]);
  }
  await host.remove();
});

const run = (...args: string[]) => host.veneer("run", "tree", ...args);
const script = (text: string, ...options: string[]) => run(...options, "--", "sh", "-c", text);
/** Newer versions of crun keep a directory of their own beside those of containers. */
const left = (directory: string) =>
  (existsSync(directory) ? readdirSync(directory) : []).filter((name) => name !== ".empty-directory");

/** What a container leaves is gone when `run` returns, its upper a moment later. */
afterEach(async () => {
  expect(left(join(host.run, "bundles"))).toEqual([]);
  for (const name of ["runc", "crun"]) expect(left(join(host.run, name))).toEqual([]);
  await waitFor(() => left(join(host.root, "ephemeral")).length === 0);
  await waitFor(() => left(join(host.run, "records")).length === 0);
  expect((await sh("find", ["/sys/fs/cgroup", "-maxdepth", "2", "-name", "veneer-tree*"])).stdout).toBe("");
  expect((await sh("findmnt", ["-rno", "TARGET"])).stdout).not.toContain(host.dir);
});

/** Starts `run` and waits until the container has written "ready". */
async function started(options: readonly string[], text: string) {
  const words = ["run", "tree", ...options, "--", "sh", "-c", text];
  const child = execa(join(host.bin, "veneer"), words, {
    env: { PATH: host.path },
    reject: false,
    stdin: "ignore",
  });
  let said = "";
  child.stdout.on("data", (data) => {
    said += data;
  });
  await waitFor(() => said.includes("ready"));
  // a promise inside an object: it must not be awaited here
  return { child };
}

describe.each(["runc", "crun"])("run with %s", (runtime) => {
  const real = (text: string, ...options: string[]) => script(text, "--runtime", runtime, ...options);

  it("with --json tells the end on a last line of standard error, and adds nothing to standard output", async () => {
    const { status, stdout, stderr } = await real(
      "echo '{\"id\":1}'; printf unfinished >&2; exit 7",
      "--json",
    );
    expect({ status, stdout }).toEqual({ status: 7, stdout: '{"id":1}' });
    const [first, last] = stderr.split("\n");
    expect(first).toBe("unfinished");
    expect(JSON.parse(last as string)).toEqual({ id: expect.stringMatching(/^tree-/), status: 7 });
  });

  it("gives the status of the command, 128+N for a signal", async () => {
    expect(await real("exit 7")).toMatchObject({ status: 7 });
    const { child } = await started(["--runtime", runtime], "echo ready; exec sleep 60");
    const state = join(host.run, runtime);
    const [id] = left(state) as [string];
    // the first process of a pid namespace can be killed from outside alone
    await must(runtime, ["--root", state, "kill", id, "KILL"], { env: { PATH: host.path } });
    expect((await child).exitCode).toBe(137);
  });

  it("fails when there is no such command", async () => {
    const outcome = await run("--runtime", runtime, "--", "no-such-command");
    expect(outcome.status).not.toBe(0);
    expect(outcome.stderr).toContain("no-such-command");
  });

  it("shows the base with an empty /tmp and /root and forgets what is written", async () => {
    const text = "cat /etc/os-release; ls /tmp /root; echo x >/new; ls /new";
    expect((await real(text)).stdout).toBe("ID=veneer-test\n/root:\n\n/tmp:\n/new");
    expect(existsSync(join(tree, "new"))).toBe(false);
  });

  it("hands on the signals that it gets", async () => {
    for (const signal of ["SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2"] as const) {
      const name = signal.slice(3);
      const text = `trap 'echo got ${name}; exit 9' ${name}; echo ready; while :; do sleep 0.05; done`;
      const { child } = await started(["--runtime", runtime], text);
      process.kill(child.pid as number, signal);
      const { exitCode, stdout } = await child;
      expect([exitCode, stdout]).toEqual([9, `ready\ngot ${name}`]);
    }
  });

  it("kills what does not heed SIGTERM, with --stop-time", async () => {
    const options = ["--runtime", runtime, "--stop-time", "1"];
    const { child } = await started(options, "trap '' TERM; echo ready; while :; do sleep 0.05; done");
    process.kill(child.pid as number, "SIGTERM");
    expect((await child).exitCode).toBe(137);
    expect(await host.veneer("run", "tree", "--stop-time", "0")).toMatchObject({ status: 2 });
  });

  it("sets variables, directory and user, as the root's files have it", async () => {
    const text = 'echo "$(id -u):$(id -g) $PWD $HOME $A $HANDED $UNSET."';
    const options = ["-e", "A=1=2", "-e", "HANDED", "-e", "UNSET", "-w", "/made/dir", "-u", "user"];
    const words = ["run", "tree", "--runtime", runtime, ...options, "--", "sh", "-c", text];
    const outcome = await sh(join(host.bin, "veneer"), words, { env: { PATH: host.path, HANDED: "yes" } });
    expect(outcome).toMatchObject({ status: 0, stdout: "1000:1000 /made/dir /home 1=2 yes ." });
    expect((await real("id -u; id -g", "-u", "user:root")).stdout).toBe("1000\n0");
    expect((await real("id -u; id -g", "-u", "7:8")).stdout).toBe("7\n8");
  });

  it("binds volumes, on paths that the base lacks and with any characters in them", async () => {
    const source = join(host.dir, "sour:ce \\ \"',é");
    mkdirSync(source, { recursive: true });
    writeFileSync(join(source, "file"), "of the host\n");
    const escaped = source.replace(/[\\:]/g, "\\$&");
    const options = ["-v", `${escaped}:/mnt/a b:ro`, "-v", `${escaped}/file:/etc/deep/one file`];
    const text = "cat '/mnt/a b/file' '/etc/deep/one file'; touch '/mnt/a b/x' 2>/dev/null || echo read-only";
    expect((await real(text, ...options)).stdout).toBe("of the host\nof the host\nread-only");
  });

  it("keeps the host's network and resolver, or has neither", async () => {
    const devices = (text: string) => text.split("\n").filter((line) => line.includes(":")).length;
    const hosts = devices(readFileSync("/proc/net/dev", "utf8"));
    expect((await real("cat /etc/resolv.conf")).stdout).toBe(
      readFileSync("/etc/resolv.conf", "utf8").trimEnd(),
    );
    expect(devices((await real("cat /proc/net/dev")).stdout)).toBe(hosts);
    expect(devices((await real("cat /proc/net/dev", "--network", "none")).stdout)).toBeLessThan(hosts);
    expect((await real("cat /etc/resolv.conf", "--network", "none")).status).not.toBe(0);
  });

  it("hands on the caller's limit of open files", async () => {
    const words = [join(host.bin, "veneer"), "run", "tree", "--runtime", runtime, "--"];
    // the shell is the caller, whose limits count
    const command = 'ulimit -Sn 700; ulimit -Hn 900; "$@"; exit $?';
    const inside = ["sh", "-c", "ulimit -Sn; ulimit -Hn"];
    const outcome = await sh("sh", ["-c", command, "sh", ...words, ...inside], { env: { PATH: host.path } });
    expect(outcome.stdout).toBe("700\n900");
  });

  it("leaves nothing but three descriptors open in the container", async () => {
    expect((await real("ls /proc/self/fd | wc -l")).stdout).toBe("4");
  });
});

describe("run", () => {
  it("keeps what a named instance wrote, and finds users that were added there", async () => {
    const write = "echo kept >/file; echo new:x:77:78::/srv:/bin/sh >>/etc/passwd";
    expect((await script(write, "--name", "web")).status).toBe(0);
    expect((await script("cat /file; id -u", "--name", "web", "-u", "new")).stdout).toBe("kept\n77");
    const masked = await script("true", "--name", "web", "--mask", "/etc/group");
    expect(masked.stderr).toContain("decided when it is made");
    expect((await script("true", "--name", "web", "--rm")).stderr).toContain("exists already");
    await host.ok("rm", "web");
  });

  it("removes with --rm the instance that it made", async () => {
    expect((await script("exit 3", "--name", "gone", "--rm")).status).toBe(3);
    expect(readdirSync(join(host.root, "instances"))).toEqual([]);
    expect(left(join(host.run, "held"))).not.toContain("gone");
  });

  it("refuses a second container on one instance and names the first", async () => {
    const { child } = await started(["--name", "one", "--rm"], "echo ready; exec sleep 60");
    const second = await script("true", "--name", "one");
    expect(second).toMatchObject({ status: 1 });
    expect(second.stderr).toMatch(/instance one is held by container one .*hint: stop it first/);
    expect((await host.veneer("ps", "--json")).stdout).toContain('"one"');
    await sh("runc", ["--root", join(host.run, "runc"), "kill", "one", "KILL"]);
    expect((await child).exitCode).toBe(137);
  });

  it("lets one of several that start at once on one instance have it", async () => {
    const gate = join(host.dir, "gate");
    mkdirSync(gate);
    const text = "until [ -e /gate/open ]; do sleep 0.02; done; echo mine";
    const starts = [1, 2, 3].map(() => script(text, "--name", "race", "-v", `${gate}:/gate`));
    let ended = 0;
    for (const start of starts) start.then(() => ++ended === 2 && writeFileSync(join(gate, "open"), ""));
    const outcomes = await Promise.all(starts);
    const refused = outcomes.filter(({ status }) => status !== 0);
    expect(outcomes.filter(({ stdout }) => stdout === "mine")).toHaveLength(1);
    expect(refused).toHaveLength(2);
    for (const { stderr } of refused) expect(stderr).toContain("instance race is held by container race");
    await host.ok("rm", "race");
  });

  it("takes any number of anonymous containers at once", async () => {
    const outcomes = await Promise.all([1, 2, 3, 4].map((n) => script(`echo ${n} >/n; sleep 0.3; cat /n`)));
    expect(outcomes.map(({ stdout }) => stdout)).toEqual(["1", "2", "3", "4"]);
  });

  it("cleans up when the runtime is killed under it", async () => {
    const { child } = await started(["--runtime", "runc"], "echo ready; exec sleep 60");
    const runtime = (await sh("pgrep", ["-P", String(child.pid)])).stdout;
    process.kill(Number(runtime), "SIGKILL");
    expect((await child).exitCode).toBe(137);
  });

  it("is put right by the next one when it is killed itself", async () => {
    const { child } = await started(["--name", "orphan"], "echo ready; exec sleep 60");
    const killed = new Promise((resolve) => child.once("exit", resolve));
    process.kill(child.pid as number, "SIGKILL");
    await killed;
    expect((await script("true", "--name", "orphan")).stderr).toContain("held by container orphan");
    await sh("runc", ["--root", join(host.run, "runc"), "kill", "orphan", "KILL"]);
    await waitFor(async () => (await script("true", "--name", "orphan")).status === 0);
    await host.ok("rm", "orphan");
  });

  it("leaves to gc a container whose runtime was killed before it let its command run", async () => {
    // the real runc as far as it got; then it and `veneer run` are killed
    const bin = join(host.dir, "killed");
    mkdirSync(bin);
    const lines = [
      'for word; do shift; [ "$word" != run ] || word=create; set -- "$@" "$word"; done',
      '/usr/bin/runc "$@"',
      "kill -KILL $PPID $$",
    ];
    writeFileSync(join(bin, "runc"), `#!/bin/sh\n${lines.join("\n")}\n`, { mode: 0o755 });
    const words = ["run", "tree", "--runtime", "runc", "--name", "half", "--", "sleep", "1000"];
    const env = { PATH: `${bin}:${host.path}` };
    await execa(join(host.bin, "veneer"), words, { env, stdio: "ignore", reject: false });
    expect(left(join(host.run, "runc"))).toEqual(["half"]);
    expect(await host.ok("gc", "--dry-run")).toContain("would free 1 bundle");
    expect(await host.ok("gc")).toContain("freed 1 bundle");
    expect(["runc", "bundles", "records"].flatMap((name) => left(join(host.run, name)))).toEqual([]);
    expect(await script("echo runs", "--name", "half")).toMatchObject({ status: 0, stdout: "runs" });
    await host.ok("rm", "half");
  });

  it("leaves to gc what it cannot clean up, and what runs gc leaves alone", async () => {
    const { child } = await started(["--runtime", "runc"], "echo ready; exec sleep 60");
    const [id] = left(join(host.run, "runc")) as [string];
    const killed = new Promise((resolve) => child.once("exit", resolve));
    process.kill(child.pid as number, "SIGKILL");
    await killed;
    expect(await host.ok("gc")).toBe("freed nothing");
    // the runtime goes with the container, without its poststop hooks
    const { pid } = JSON.parse(await must("runc", ["--root", join(host.run, "runc"), "state", id]));
    const runtime = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]?.split(" ")[1];
    process.kill(Number(runtime), "SIGKILL");
    process.kill(pid, "SIGKILL");
    await waitFor(async () => (await host.ok("gc", "--dry-run")).includes("would free 1 bundle"));
    expect(await host.ok("gc")).toContain("freed 1 bundle");
    expect(await host.ok("gc")).toBe("freed nothing");
  });

  it("runs what the image says when there is no command", async () => {
    plantBase(host, "image", tree);
    const file = join(host.root, "bases/image/versions/1.json");
    const config = {
      Env: ["A=image"],
      Entrypoint: ["/bin/sh", "-c"],
      Cmd: ["echo $A; id -u; pwd"],
      User: "user",
      WorkingDir: "/usr",
    };
    writeFileSync(file, JSON.stringify({ ...JSON.parse(readFileSync(file, "utf8")), config }));
    expect((await host.veneer("run", "image")).stdout).toBe("image\n1000\n/usr");
    expect((await host.veneer("run", "image", "-e", "A=mine", "--", "env")).stdout).toContain("A=mine");
  });

  it("has its own opaque and masked paths, and an upper in memory", async () => {
    const masked = await script("ls -d /home /etc/group /etc/passwd", "--mask", "/etc/group");
    expect(masked.stdout).toBe("/etc/passwd\n/home");
    expect((await script("ls /tmp; ls /etc", "--opaque", "/etc")).stdout).toContain("of-the-base");
    expect((await script("ls /tmp", "--opaque", "none")).stdout).toBe("of-the-base");
    const full = await script("dd if=/dev/zero of=/big bs=1M count=16", "--tmpfs", "8m");
    expect(full.stderr).toContain("No space left");
  });

  it.each([
    [["run", "nothing"], 1, "no base nothing"],
    [["run", "tree@9", "--", "true"], 1, "no base tree@9"],
    [["run"], 2, "needs BASE"],
    [["run", "../x"], 2, "base name"],
    [["run", "tree", "--"], 2, "no command after --"],
    [["run", "tree", "--runtime", "docker", "--", "true"], 2, "runc or crun"],
    [["run", "tree", "--network", "bridge", "--", "true"], 2, "host or none"],
    [["run", "tree", "-u", "nobody", "--", "true"], 2, "no user 'nobody'"],
    [["run", "tree", "-v", "/nowhere:/x", "--", "true"], 2, "'/nowhere' does not exist"],
    [["run", "tree", "-v", "/etc", "--", "true"], 2, "write SRC:DST"],
    [["run", "tree", "-e", "=x", "--", "true"], 2, "variable"],
    [["run", "tree", "-w", "relative", "--", "true"], 2, "working directory"],
    [["run", "tree", "--tmpfs", "much", "--", "true"], 2, "size"],
    [["run", "tree", "-t", "--", "true"], 2, "-t needs a terminal"],
    [["run", "tree", "--name", "a/b", "--", "true"], 2, "instance name"],
  ])("refuses %j", async (args, status, message) => {
    const outcome = await host.veneer(...args);
    expect(outcome.stderr).toContain(message);
    expect(outcome.stderr.split("\n")).toHaveLength(1);
    expect(outcome).toMatchObject({ status, stdout: "" });
  });

  it("is not bound by what annotations of engines may name", async () => {
    const config = join(host.dir, "config.json");
    writeFileSync(
      config,
      JSON.stringify({ annotations: { bases: [], instances: [] }, mask: ["/etc/group"] }),
    );
    const words = ["--config", config, "run", "tree", "--name", "own", "--rm", "--", "ls", "/etc"];
    const outcome = await host.veneer(...words);
    expect(outcome).toMatchObject({ status: 0, stderr: "" });
    expect(outcome.stdout).not.toContain("group");
  });

  it("says what to install when there is no runtime", async () => {
    const empty = mkdtempSync(join(host.dir, "path-"));
    const args = [...storeOptions(host), "run", "tree"];
    const outcome = await sh(PROGRAM, args, { env: { PATH: empty } });
    expect(outcome).toMatchObject({ status: 1 });
    expect(outcome.stderr).toMatch(/runc is not installed; hint: .*install runc/);
  });
});

describe("run and terminals", () => {
  /** script(1) makes a terminal for the program; `keys` are typed when the program says that it is ready. */
  const type = async (keys: string, ...words: string[]) => {
    const file = join(host.dir, "in-terminal.sh");
    const quoted = words.map((word) => `'${word.replaceAll("'", "'\\''")}'`).join(" ");
    writeFileSync(file, `exec ${join(host.bin, "veneer")} run tree ${quoted}\n`);
    const child = execa("script", ["-qec", `sh ${file}`, "/dev/null"], {
      env: { PATH: host.path, TERM: "vt220", SHELL: "/bin/sh" },
      reject: false,
      timeout: 120_000,
    });
    let said = "";
    child.stdout.on("data", (data) => {
      if (!said.includes("ready") && `${said}${data}`.includes("ready")) child.stdin.write(keys);
      said += data;
    });
    const { exitCode, stdout } = await child;
    return { status: exitCode, stdout: stdout.replaceAll("\r", "") };
  };

  it("gives the command a terminal of its own with -t, and the caller's TERM", async () => {
    const outcome = await type("", "-t", "--", "sh", "-c", "test -t 0 && tty && echo $TERM; exit 5");
    expect(outcome).toMatchObject({ status: 5 });
    expect(outcome.stdout).toContain("/dev/pts/0\nvt220");
  });

  it("hands on an interrupt from the keyboard once", async () => {
    // a second one would come with the first
    const text =
      "n=; trap 'n=1$n' INT; echo ready; until [ -n \"$n\" ]; do sleep 0.05; done; sleep 0.3; echo n=$n.";
    const outcome = await type("\x03", "--", "sh", "-c", text);
    expect(outcome.stdout).toContain("n=1.");
  });
});
