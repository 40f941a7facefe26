import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { makeHost, must, sh } from "../helpers/host.ts";
import { makeTree } from "../helpers/tree.ts";

const host = makeHost();

beforeAll(async () => {
  const source = makeTree(join(host.dir, "source: 'ü'"));
  await host.ok("base", "import", "debian", source);
  await host.ok("base", "edit", "debian", "--", "touch", "/two");
  await host.ok("base", "new", "apps", "--from", "debian@1");
  await host.ok("create", "web", "debian@1");
  await host.ok("create", "db", "debian");
  await host.ok("mount", "web");
});
afterAll(() => host.remove());

it("tree shows bases, versions, instances and what runs", async () => {
  const lines = (await host.ok("tree")).split("\n");
  const without = lines.map((line) =>
    line.replace(/\d{4}-\d\d-\d\d \d\d:\d\d/, "TIME").replace(/ {2}[^ ]*import of.*/, ""),
  );
  expect(without).toEqual([
    "apps  (on debian@1)",
    "└─ *1  TIME  from debian@1",
    "debian",
    "├─ *2  TIME  touch /two",
    "│  └─ db  stopped",
    "└─  1  TIME",
    "   └─ web  mounted (mount)",
  ]);
  const [apps, debian] = JSON.parse(await host.ok("tree", "--json"));
  expect(apps.from).toEqual({ name: "debian", version: 1 });
  expect(debian.versions[1].users).toEqual([
    { kind: "instance", id: "web", state: "mounted", engine: "mount" },
  ]);
  const dot = await host.ok("tree", "--dot");
  expect(dot).toContain('"instance web" -> "debian@1";');
  expect(dot).toContain('[label="web\\nmounted"]');
});

it("metrics are in the text format of Prometheus", async () => {
  const lines = (await host.ok("metrics")).split("\n");
  for (const line of lines) {
    expect(line).toMatch(
      /^(# (HELP|TYPE) veneer_[a-z_]+ .+|veneer_[a-z_]+(\{[a-z]+="[^"]*"(,[a-z]+="[^"]*")*\})? [0-9]+)$/,
    );
  }
  expect(lines).toContain('veneer_base_current_version{base="debian"} 2');
  expect(lines).toContain('veneer_base_instances_behind{base="debian"} 1');
  expect(lines).toContain('veneer_instances{state="mounted"} 1');
});

it("mounted answers by its status", async () => {
  expect(await host.veneer("mounted", "web")).toMatchObject({ status: 0, stdout: join(host.run, "mnt/web") });
  expect(await host.veneer("mounted", "db")).toMatchObject({ status: 1, stdout: "", stderr: "" });
  expect((await host.veneer("mounted", "nosuch")).stderr).toContain("nosuch");
});

it("mount --print prints a command that mounts what mount does", async () => {
  const point = join(host.dir, "a point");
  const command = await host.ok("mount", "--print", "db", point);
  await must("mkdir", [point]);
  await must("sh", ["-c", command]);
  writeFileSync(join(point, "etc/made"), "by hand");
  await must("umount", [point]);
  expect(await host.ok("diff", "db")).toContain("A /etc/made");
  expect((await host.veneer("mounted", "db")).status).toBe(1);
});

it("tables fit the terminal, and are whole in a pipe", async () => {
  const veneer = join(host.bin, "veneer");
  const drawn = await sh("script", ["-qec", `stty cols 60; ${veneer} base log debian`, "/dev/null"]);
  for (const line of drawn.stdout.split("\r\n")) expect(line.length, line).toBeLessThanOrEqual(60);
  expect(drawn.stdout).toContain("…");
  expect(await host.ok("base", "log", "debian")).toContain(`import of ${host.dir}`);
});

it("tree shows what it can read and names what it cannot; metrics that lack a base are an error", async () => {
  const file = join(host.root, "bases/apps/versions/1.json");
  const manifest = readFileSync(file);
  writeFileSync(file, "{");
  const { status, stdout, stderr } = await host.veneer("tree");
  const metrics = await host.veneer("metrics");
  writeFileSync(file, manifest);
  expect([status, stdout.split("\n")[0]]).toEqual([1, "debian"]);
  expect(stderr).toMatch(/^veneer: base apps: .*1\.json.*\[\w+\]$/);
  expect(metrics).toMatchObject({ status: 1, stdout: "", stderr: expect.stringContaining("1.json") });
});
