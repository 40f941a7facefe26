/** Images that Docker and podman have already, and who a container of an image is, beside these engines. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Docker, startDocker } from "../helpers/docker.ts";
import { makeHost, must, type Outcome, sh } from "../helpers/host.ts";
import { addImage } from "../helpers/image.ts";
import { makePodman, type Podman } from "../helpers/podman.ts";
import { makeTree } from "../helpers/tree.ts";

const host = makeHost("/var/tmp");
const at = (name: string) => join(host.dir, name);
let docker: Docker;
let podman: Podman;
let env: Record<string, string>;

/** A line with fewer fields than it should have, a name that is a number, a group that lists a user. */
const PASSWD =
  "root:x:0:0:root:/root:/bin/sh\nweb:x:33:34::/srv:/bin/sh\n1000:x:7:7::/n:/bin/sh\nshort:x:70:0:short:/short\n";
const GROUP = "root:x:0:\nstaff:x:50:web\nweb:x:34:\n";

beforeAll(async () => {
  docker = await startDocker(host);
  podman = await makePodman(host);
  env = { ...podman.env, DOCKER_HOST: docker.socket };
  const tree = makeTree(at("tree"));
  writeFileSync(join(tree, "etc/passwd"), PASSWD);
  writeFileSync(join(tree, "etc/group"), GROUP);
  writeFileSync(join(tree, "etc/which"), "docker's");
  await must("tar", ["-C", tree, "-cf", at("root.tar"), "."]);
});
afterAll(async () => {
  await podman?.removeAll();
  await docker?.stop();
  await host.remove();
});

const base = (id: string, source: string) =>
  sh(join(host.bin, "veneer"), ["base", "import", id, source], { env });
const which = (id: string) => host.ok("run", id, "--", "cat", "/etc/which");

describe("an image that an engine has", () => {
  it("of Docker, by name, by name without a tag, by id", async () => {
    const { stdout: id } = await docker.docker("import", at("root.tar"), "app:latest");
    for (const [index, name] of ["app:latest", "app", "docker.io/library/app", id].entries()) {
      expect(await base(`docker${index}`, `docker-daemon:${name}`)).toMatchObject({ status: 0, stderr: "" });
      expect(await which(`docker${index}`)).toBe("docker's");
    }
    const missing = await base("none", "docker-daemon:missing");
    expect([missing.status, missing.stderr.split("\n").length]).toEqual([1, 1]);
    expect(missing.stderr).toContain("docker-daemon:missing:latest");
  });

  it("of podman, by full and short name, by id, and by way of its storage", async () => {
    const id = (await podman.ok("images", "-q", "--no-trunc")).trim().replace("sha256:", "");
    const names = ["podman:app:1", "podman:localhost/app:1", `podman:${id}`, `podman:${id.slice(0, 12)}`];
    names.push("containers-storage:localhost/app:1", `containers-storage:@${id}`);
    for (const [index, source] of names.entries()) {
      expect(await base(`podman${index}`, source)).toMatchObject({ status: 0, stderr: "" });
      expect(await which(`podman${index}`)).toBe("image");
    }
    const missing = await base("none", "podman:missing");
    expect([missing.status, missing.stderr.split("\n").length]).toEqual([1, 1]);
  });
});

describe("the user of an image", () => {
  const layer = () => readFileSync(at("root.tar"));
  const COMMAND = ["sh", "-c", "id -u; id -g; echo $HOME; id -G"];
  /** who that is, or that the engine refuses it */
  const told = ({ status, stdout }: Outcome) => {
    if (status !== 0) return "refused";
    const [uid, gid, home, groups = ""] = stdout.trim().split("\n");
    return { uid, gid, home, groups: [...new Set(groups.split(" "))].sort() };
  };

  it.each([
    "",
    "1000",
    "1000:",
    ":1000",
    ":",
    "web",
    "web:",
    "web:staff",
    "web:9",
    "33",
    "33:50",
    "5:6",
    "short",
    "0",
    "root:root",
  ])("%j is whom Docker and podman take", async (user) => {
    const index = user.replace(":", "-").replace(/^-|-$/, "x") || "none";
    const name = `localhost/user-${index}:1`;
    const image = addImage(at(`user-${index}`), "one", [layer()], {
      config: { User: user, Env: ["PATH=/bin"], Cmd: ["/bin/sh"] },
    });
    await must("skopeo", ["copy", "-q", image, `containers-storage:${name}`], { env: podman.env });
    await must("skopeo", [
      "copy",
      "-q",
      "--dest-daemon-host",
      env.DOCKER_HOST as string,
      image,
      `docker-daemon:${name}`,
    ]);
    const byPodman = told(await podman.run(["run", "--rm", "--network", "none", name, ...COMMAND]));
    const byDocker = told(await docker.docker("run", "--rm", "--network", "none", name, ...COMMAND));
    expect((await base(`user-${index}`, `docker-daemon:${name}`)).status).toBe(0);
    const ours = told(await host.veneer("run", `user-${index}`, "--", ...COMMAND));
    // podman gives no further groups where there is a colon
    const withoutMore = typeof ours === "object" && user === "web:" ? { ...ours, groups: ["34"] } : ours;
    expect({ byPodman, byDocker }).toEqual({ byPodman: withoutMore, byDocker: ours });
  });

  it.each(["nobody-here", "web:no-such-group", "nobody-here:0"])(
    "%j is refused, as by Docker and podman",
    async (user) => {
      const image = addImage(at(`refused-${user.replace(":", "-")}`), "one", [layer()], {
        config: { User: user },
      });
      expect((await base("refused", image)).status).toBe(0);
      const { status, stderr } = await host.veneer("run", "refused", "--", "id");
      expect([status, stderr.split("\n").length]).toEqual([2, 1]);
    },
  );
});
