/**
 * The first example of a page of docs, pasted into a shell of a host that has the base `debian`, ends well. Every page is
 * tried that is not named below, with the reason: a new page is, too.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, expect, it } from "vitest";
import { makeBase } from "../helpers/base.ts";
import { makeHost, PROJECT, sh } from "../helpers/host.ts";

const DOCS = join(PROJECT, "docs");

/** Pages whose first block of shell is not pasted here. */
const NOT_HERE: Readonly<Record<string, string>> = {
  bases: "needs debootstrap and a network",
  benchmarks: "is for developers, in the source tree",
  compatibility: "is for developers, in the source tree",
  cdi: "needs podman and Docker; setup-cdi.test.ts",
  containerd: "needs containerd; e2e tests start it",
  docker: "needs Docker; e2e tests start it",
  doctor: "judges the host: doctor.test.ts",
  kernels: "judges the host: doctor.test.ts",
  kubernetes: "needs a cluster and a registry",
  limits: "judges the host: doctor.test.ts",
  "live-rebase": "installs a package in a base; live tests move containers",
  lxc: "needs LXC; e2e tests start it",
  lxd: "needs LXD; e2e tests start it",
  packages: "is for developers, in the source tree",
  playbooks: "needs Ansible and Puppet",
  podman: "needs podman; e2e tests start it",
  reliability: "is for developers, in the source tree",
  rootless: "needs a user of that name",
  run: "installs a package from a network",
  "security-review": "is for developers, in the source tree",
  setup: "needs podman; setup.test.ts",
  testing: "is for developers, in the source tree",
  updates: "installs packages from a network",
};

/** Where an example ends otherwise than with status 0, or is known by what it prints. */
const ENDS: Readonly<Record<string, { status?: number; stdout: RegExp; stderr?: RegExp }>> = {
  "by-hand": { stdout: /^ID=veneer-test$/m },
  errors: { status: 1, stdout: /^$/, stderr: /\[NO_BASE\]$/ },
  // grep -c counts nothing
  "how-it-works": { status: 1, stdout: /^veneer:\S+ \/ overlay [\s\S]*\n0$/m },
  instances: { stdout: /^A +\/etc\/new$/m },
  "moving-bases": { stdout: /^copy@1$/m },
  "oci-hooks": { stdout: /^ID=veneer-test$/m },
  "user-namespaces": { stdout: / 0 +0 .*\/etc\/passwd$/m },
  words: { stdout: /^web1\b[\s\S]*debian/m },
  "wrapping-runtime": { stdout: /^ID=veneer-test$/m },
};

/** The paths that a page names are the host's own here, and go with the namespace. dist may be below /tmp. */
const PASTE = `
set -e
mount --bind "$1" /usr/local/bin
mount -t tmpfs tmpfs /var/lib && mkdir /var/lib/veneer && mount --bind "$2" /var/lib/veneer
mount -t tmpfs tmpfs /run && mkdir -m 755 /run/veneer
cp -a /etc /var/lib/etc && mount --bind /var/lib/etc /etc
umount /sys/fs/cgroup/unified 2>/dev/null || true
mount -t tmpfs tmpfs /tmp && cd /tmp
exec sh -e -c "$3"
`;

// not in /tmp, which the examples have for themselves
const host = makeHost("/var/tmp");
const pages = readdirSync(DOCS)
  .filter((name) => name.endsWith(".md"))
  .map((name) => ({
    page: name.slice(0, -".md".length),
    example: /^```sh\n([\s\S]*?)^```$/m.exec(readFileSync(join(DOCS, name), "utf8"))?.[1],
  }));
const pasted = pages.filter(({ page, example }) => example !== undefined && !(page in NOT_HERE));

beforeAll(() => {
  makeBase(host, "debian");
});
afterEach(async () => {
  for (const { id } of JSON.parse(await host.ok("ls", "--json"))) await host.ok("rm", id);
});
afterAll(() => host.remove());

it("knows each page that it names, and pastes some", () => {
  const withExample = pages.filter(({ example }) => example !== undefined).map(({ page }) => page);
  const named = [NOT_HERE, ENDS].flatMap((table) => Object.keys(table));
  expect(withExample).toEqual(expect.arrayContaining(named));
  expect(pasted.map(({ page }) => page)).toEqual(expect.arrayContaining(Object.keys(ENDS)));
});

it.each(pasted)("$page", async ({ page, example = "" }) => {
  const done = await sh("unshare", [
    "-m",
    "--propagation",
    "private",
    "--",
    "sh",
    "-c",
    PASTE,
    "sh",
    join(PROJECT, "dist"),
    host.root,
    example,
  ]);
  const { status = 0, stdout, stderr } = ENDS[page] ?? { stdout: /(?:)/ };
  const where = `docs/${page}.md: ${JSON.stringify(done, undefined, 2)}`;
  expect(done.status, where).toBe(status);
  expect(done.stdout, where).toMatch(stdout);
  if (stderr) expect(done.stderr, where).toMatch(stderr);
});
