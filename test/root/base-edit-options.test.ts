import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { makeHost, must } from "../helpers/host.ts";
import { makeTree } from "../helpers/tree.ts";

const host = makeHost();
const given = join(host.dir, "given: 'ü'");
const tree = async () => JSON.parse(await host.ok("base", "show", "debian", "--json")).layers[0].path;
const edit = (options: readonly string[], script: string) =>
  host.veneer("base", "edit", "debian", ...options, "--", "sh", "-c", script);

beforeAll(async () => {
  makeTree(join(host.dir, "source"));
  await host.ok("base", "import", "debian", join(host.dir, "source"));
  mkdirSync(given);
  writeFileSync(join(given, "playbook"), "from the host");
  writeFileSync(join(host.dir, "secret"), "password");
});
afterAll(() => host.remove());

it("shows a command what -v names, writable or not, and keeps none of it", async () => {
  const volumes = [
    "-v",
    `${given.replaceAll(":", "\\:")}:/mnt/playbooks`,
    "-v",
    `${host.dir}/secret:/etc/secret:ro`,
  ];
  const done = await edit(
    volumes,
    "cat /mnt/playbooks/playbook /etc/secret; echo back >/mnt/playbooks/back; ! echo x >/etc/secret; touch /new",
  );
  expect(done).toMatchObject({ status: 0, stdout: "from the hostpassworddebian@2" });
  expect(readFileSync(join(given, "back"), "utf8")).toBe("back\n");
  expect(readFileSync(join(host.dir, "secret"), "utf8")).toBe("password");
  expect(readdirSync(await tree())).toEqual(["new"]);
  expect(existsSync(join(host.root, "bases/debian/session"))).toBe(false);
});

it("gives it the caller's terminal", async () => {
  const command = `${host.bin}/veneer base edit debian -- sh -c "test -t 0 && test -t 1 && echo a terminal"`;
  expect(await must("script", ["-qec", command, "/dev/null"])).toContain("a terminal");
});

it("adds variables to its environment, with any value", async () => {
  const value = "a 'b' \"c\" $d\n\\e";
  const done = await edit(
    ["-e", `VALUE=${value}`, "-e", "EMPTY="],
    'printf %s "$VALUE"; env | grep -c "^EMPTY=$"',
  );
  expect(done.stdout).toBe(`${value}1\ndebian@2`);
});

it("drops what was changed at the discarded paths", async () => {
  const script =
    "mkdir -p /var/cache/apt/deep; echo big >/var/cache/apt/deep/big; rm /etc/os-release; echo x >/etc/kept; ln -s /etc /evil";
  const discard = ["/var/cache", "/etc/os-release", "/evil/passwd", "/nothing/here"].flatMap((path) => [
    "--discard",
    path,
  ]);
  expect((await edit(discard, script)).stdout).toBe("debian@3");
  const layer = await tree();
  expect(readdirSync(layer).sort()).toEqual(["etc", "evil", "var"]);
  expect(readdirSync(join(layer, "etc"))).toEqual(["kept"]);
  expect(readdirSync(join(layer, "var"))).toEqual([]);
  expect(await edit(["--discard", "/tmp"], "echo x >/tmp/x")).toMatchObject({ stdout: "debian@3" });
});

it.each([
  [["-v", "/nonexistent:/mnt"], 1, /nonexistent/],
  [["-v", "nothing"], 2, /volume 'nothing'/],
  [["-e", "1=2"], 2, /KEY=VALUE/],
  [["--discard", "relative"], 2, /discarded path/],
])("refuses %j and leaves nothing", async (options, status, why) => {
  const refused = await edit(options as string[], "true");
  expect(refused.status).toBe(status);
  expect(refused.stderr).toMatch(why);
  expect(existsSync(join(host.root, "bases/debian/session"))).toBe(false);
});
