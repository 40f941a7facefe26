import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { plantBase } from "../helpers/base.ts";
import { makeHost, PROGRAM, sh } from "../helpers/host.ts";
import { waitFor } from "../helpers/wait.ts";

const host = makeHost();
const place = join(host.dir, "place");
beforeAll(async () => {
  mkdirSync(join(place, "directory"), { recursive: true });
  writeFileSync(join(place, "dir-file"), "");
  plantBase(host, "debian", place);
  plantBase(host, "debian", place, 2);
  plantBase(host, "alpine", place);
  await host.ok("create", "web1", "alpine");
  for (const [shell, file] of [
    ["bash", "veneer.bash"],
    ["zsh", "_veneer"],
    ["fish", "veneer.fish"],
  ] as const) {
    writeFileSync(join(host.dir, file), `${await host.ok("completion", shell)}\n`);
  }
});
afterAll(() => host.remove());

/** Types lines into an interactive shell, each when the one before is done, and returns what was on its terminal. */
async function type(command: string, ...lines: string[]): Promise<string> {
  const child = spawn("script", ["-qec", command, "/dev/null"], {
    cwd: place,
    env: { PATH: host.path, TERM: "dumb", HOME: host.dir, PS1: "" },
  });
  let shown = "";
  child.stdout.on("data", (data) => {
    shown += data;
  });
  for (const [index, line] of lines.entries()) {
    // the terminal shows what is typed, too: with quotes it is another word
    child.stdin.write(`${line}; echo do""ne${index}\n`);
    await waitFor(() => shown.includes(`done${index}`));
  }
  child.stdin.end("exit\n");
  await once(child, "close");
  return shown.replaceAll("\r", "");
}

describe.each([
  ["bash", "bash --norc --noprofile -i", `. ${host.dir}/veneer.bash`],
  ["zsh", "zsh -f -i", `fpath=(${host.dir} $fpath); autoload -U compinit; compinit -u -D`],
])("completion in %s", (_shell, command, setup) => {
  it("completes commands, bases, versions, options with their values, and files", async () => {
    const text = await type(
      command,
      setup,
      "veneer base sho\tdeb\t --json | grep name",
      "veneer base show debian@1\t --json | grep version",
      "veneer base show alpine@\t --json | grep version",
      "veneer ins\tw\t >/dev/null && echo inspected",
      "veneer run --network=n\talp\t --help | head -1",
      "veneer --config dir-\t base ls; echo",
    );
    expect(text).toContain('"name": "debian"');
    expect(text).toContain('"version": 1');
    expect(text).toContain("inspected");
    expect(text).toMatch(/run --network=none .*alpine/);
    expect(text).toMatch(/--config dir-file /);
  });
});

describe("completion in fish", () => {
  const offers = async (line: string) => {
    const script = `source ${host.dir}/veneer.fish; complete -C '${line}'`;
    const { stdout } = await sh("fish", ["-c", script], {
      cwd: place,
      env: { PATH: host.path, HOME: host.dir },
    });
    return stdout.split("\n");
  };

  it("offers commands with their summaries, bases, versions, instances and files", async () => {
    expect(await offers("veneer doc")).toEqual([expect.stringMatching(/^doctor\tReport what/)]);
    expect(await offers("veneer run ")).toEqual(expect.arrayContaining(["alpine", "debian"]));
    expect(await offers("veneer run debian@")).toEqual(["debian@1", "debian@2\tcurrent"]);
    expect(await offers("veneer rm ")).toEqual(["web1"]);
    expect((await offers("veneer --config dir")).sort()).toEqual(["dir-file", "directory/"]);
  });
});

describe("completion", () => {
  const words = async (...line: string[]) =>
    (await host.ok("internal", "complete", "--", ...line)).split("\n");

  it("knows every command that the help lists", async () => {
    const help = await host.ok("--help");
    const names = [...help.matchAll(/^ {2}([a-z]+(?: [a-z]+)?) {2,}[A-Z]/gm)].map(
      ([, name]) => name as string,
    );
    expect(names.length).toBeGreaterThan(20);
    for (const name of names) {
      const parts = name.split(" ");
      const offered = await words(...parts.slice(0, -1), parts.at(-1) as string);
      expect(offered.map((line) => line.split("\t")[0])).toContain(parts.at(-1));
    }
  });

  it("looks into the store that the line names", async () => {
    expect(await words("--root", join(host.dir, "none"), "run", "")).toEqual(["words"]);
    expect(await words(`--root=${host.root}`, "run", "deb")).toEqual(["words", "debian"]);
  });

  it("offers users, and every engine", async () => {
    expect(await words("base", "share", "debian", "daem")).toEqual(["words", "daemon"]);
    expect(await words("base", "share", "debian", "roo")).toEqual(["words"]);
    for (const engine of [
      "lxc",
      "lxd",
      "incus",
      "nspawn",
      "podman",
      "docker",
      "containerd",
      "crio",
      "cdi",
      "nri",
    ])
      expect(await words("setup", engine)).toEqual(["words", engine]);
  });

  it("offers nothing to a user who may not read the store", async () => {
    const args = ["--reuid", "65534", "--clear-groups", PROGRAM, "--root", host.root];
    const outcome = await sh("setpriv", [...args, "internal", "complete", "--", "run", ""], {
      env: { HOME: "/nonexistent" },
    });
    expect(outcome).toEqual({ status: 0, stdout: "words", stderr: "" });
  });

  it("refuses another shell", async () => {
    expect(await host.veneer("completion", "tcsh")).toMatchObject({ status: 2 });
    expect((await host.veneer("completion")).status).toBe(2);
  });
});
