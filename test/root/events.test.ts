/** The log: a line each start, end, change and failure, in a file or in the journal, and `veneer events`. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, readFileSync, readlinkSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { plantBase } from "../helpers/base.ts";
import { makeHost, must, sh } from "../helpers/host.ts";
import { makeTree } from "../helpers/tree.ts";
import { waitFor } from "../helpers/wait.ts";

const host = makeHost();
const log = join(host.dir, "veneer.log");
const config = join(host.dir, "config.json");
const veneer = (...args: string[]) => host.veneer("--config", config, ...args);
const configure = (settings: object) => writeFileSync(config, JSON.stringify(settings));
const events = async (...args: string[]) => {
  const { status, stdout } = await veneer("events", ...args);
  expect(status).toBe(0);
  return stdout === "" ? [] : stdout.split("\n").map((line) => JSON.parse(line));
};

beforeAll(() => {
  makeTree(join(host.dir, "tree"));
  configure({ log, logFormat: "json" });
});
afterAll(() => host.remove());

describe("the log in a file", () => {
  it("has changes, starts, ends and failures", async () => {
    await veneer("base", "import", "b", join(host.dir, "tree"));
    await veneer("create", "i", "b");
    await veneer("run", "b", "--name", "i", "--", "true");
    await veneer("cutover", "nobody", "b");
    const kinds = (await events()).map(({ event, container, instance, status }) => [
      event,
      container ?? instance,
      status,
    ]);
    expect(kinds).toEqual([
      ["base import", undefined, 0],
      ["create", undefined, 0],
      ["start", "i", undefined],
      ["stop", "i", undefined],
      ["cutover", undefined, 1],
    ]);
    const [imported, , started, , failed] = await events();
    expect(imported).toMatchObject({ arguments: `b ${join(host.dir, "tree")}` });
    expect(started).toMatchObject({ engine: "runtime", instance: "i", base: "b@1" });
    expect(failed).toMatchObject({ code: "NO_INSTANCE", message: expect.stringContaining("nobody") });
  });

  it("has each member that a rollout moved, and each move back", async () => {
    const other = makeHost();
    const own = join(other.dir, "config.json");
    const file = join(other.dir, "log");
    writeFileSync(own, JSON.stringify({ log: file, logFormat: "json" }));
    makeTree(join(other.dir, "tree"));
    plantBase(other, "b", join(other.dir, "tree"), 1);
    plantBase(other, "b", join(other.dir, "tree"), 2);
    const call = (...args: string[]) => other.veneer("--config", own, ...args);
    const told = () =>
      readFileSync(file, "utf8")
        .trimEnd()
        .split("\n")
        .map((line) => JSON.parse(line))
        .filter(({ event }) => event !== "start");
    try {
      for (const id of ["one", "two"]) await other.ok("create", id, "b@1");
      await other.ok("mount", "two");
      const back = await call("rollout", "b@2", "--batch", "2", "--check", "echo no; false");
      expect(back.status).toBe(1);
      const first = told();
      const { rollout } = first[0];
      expect(rollout).toMatch(/^b@2\/20[0-9-]+T[0-9:.]+Z$/);
      const forward = { event: "rebase", from: "b@1", base: "b@2", status: 0, rollout };
      const reverse = { event: "rebase", from: "b@2", base: "b@1", status: 0, rollout };
      const failed = { event: "check", instance: "two", base: "b@2", status: 1, rollout };
      expect(first).toMatchObject([
        { ...forward, instance: expect.stringMatching(/^(one|two)$/) },
        { ...forward, instance: expect.stringMatching(/^(one|two)$/) },
        { ...failed, message: expect.stringContaining("no") },
        { ...reverse, instance: expect.stringMatching(/^(one|two)$/) },
        { ...reverse, instance: expect.stringMatching(/^(one|two)$/) },
        { event: "rollout", arguments: "b@2", status: 1 },
      ]);
      rmSync(file);
      // a member that something outside uses cannot be moved, and its event says why
      const holder = spawn("unshare", ["-m", "sleep", "1000"]);
      try {
        await waitFor(() => readlinkSync(`/proc/${holder.pid}/ns/mnt`) !== readlinkSync("/proc/self/ns/mnt"));
        await call("rollout", "b@2");
        const second = told();
        expect(second[0].rollout).not.toBe(rollout);
        expect(second.find(({ instance }) => instance === "two")).toMatchObject({
          event: "rebase",
          status: 1,
          message: expect.any(String),
          code: expect.any(String),
        });
      } finally {
        holder.kill("SIGKILL");
        await once(holder, "exit");
      }
    } finally {
      await other.veneer("umount", "two");
      await other.remove();
    }
  });

  it("is shown from a time on", async () => {
    expect(await events("--since", "1h")).toHaveLength(5);
    expect(await events("--since", "2999-01-01")).toEqual([]);
    const wrong = await veneer("events", "--since", "yesterday");
    expect(wrong.status).toBe(2);
    expect(wrong.stderr).toContain("write 30m, 12h, 7d");
  });

  it("is followed until a signal comes", async () => {
    const child = spawn(join(host.bin, "veneer"), [
      "--config",
      config,
      "events",
      "-f",
      "--since",
      "2999-01-01",
    ]);
    const lines: string[] = [];
    createInterface(child.stdout).on("line", (line) => lines.push(line));
    const later = JSON.stringify({ time: "2999-02-01T00:00:00.000Z", event: "later" });
    writeFileSync(log, `${readFileSync(log, "utf8")}${later}\n`);
    await waitFor(() => lines.length === 1);
    expect(lines).toEqual([later]);
    child.kill("SIGINT");
    expect((await once(child, "exit"))[0]).toBe(0);
  });

  it("has readable lines by default", async () => {
    rmSync(log);
    configure({ log });
    await veneer("create", "j", "b");
    expect(readFileSync(log, "utf8")).toMatch(/^\S+Z create arguments='j b' status='0'\n$/);
  });

  it("that is not kept is said to be so", async () => {
    configure({});
    const { status, stderr } = await veneer("events");
    expect(status).toBe(1);
    expect(stderr).toContain("no log is kept");
    expect(stderr).toContain(config);
  });
});

describe("the journal", () => {
  it("gets fields of its own and the event as JSON", async () => {
    configure({ log: "journal" });
    mkdirSync("/run/systemd", { recursive: true });
    await must("mount", ["-t", "tmpfs", "tmpfs", "/run/systemd"]);
    mkdirSync("/run/systemd/journal");
    const script =
      "import socket,sys; s=socket.socket(socket.AF_UNIX,socket.SOCK_DGRAM); s.bind('/run/systemd/journal/socket'); print('ready',flush=True); print(s.recv(65536).decode())";
    const reader = spawn("python3", ["-c", script]);
    let text = "";
    reader.stdout.on("data", (bytes) => {
      text += bytes;
    });
    await waitFor(() => text.includes("ready"));
    expect((await veneer("rm", "j")).status).toBe(0);
    await once(reader, "close");
    expect(text).toContain("\nPRIORITY=6\nSYSLOG_IDENTIFIER=veneer\nVENEER_EVENT=rm\nVENEER_ARGUMENTS=j\n");
    const message = /^MESSAGE=(.*)$/m.exec(text)?.[1];
    expect(JSON.parse(message as string)).toMatchObject({ event: "rm", arguments: "j", status: 0 });
    // nobody reads any more: that is no failure
    expect((await veneer("create", "k", "b")).status).toBe(0);
    await sh("umount", ["/run/systemd"]);
  });
});
