/** What veneer exports, unpacked by those who will read it: the same tree by each. */
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Containerd, startContainerd } from "../helpers/containerd.ts";
import { type Docker, startDocker } from "../helpers/docker.ts";
import { makeHost, must } from "../helpers/host.ts";
import { type Registry, startRegistry } from "../helpers/registry.ts";

const host = makeHost("/var/tmp");
const other = makeHost("/var/tmp");
const at = (name: string) => join(host.dir, name);
const LONG = "l".repeat(200);
let registry: Registry;
let docker: Docker;
let containerd: Containerd;
let podman: { readonly env: Record<string, string> };
let expected: string;

/** Two layers, so that what hides and what is hidden is in the image. */
const LOWER = `
  mkdir etc dir acls gone opaque "na me"; echo 1 >gone/1; echo 1 >opaque/old; echo 1 >etc/deleted; echo hi >etc/x; ln etc/x "na me/y"
  python3 -c 'import os
f = os.open("extents", os.O_CREAT | os.O_RDWR)
for i in range(3000): os.pwrite(f, b"%d" % i, i * 16384)
os.ftruncate(f, 3000 * 16384 + 12345)'
  truncate -s 7M hole; truncate -s 20M tail; printf x | dd of=tail bs=1 conv=notrunc status=none
  mkfifo pipe; ln pipe dir/pipe; mknod null c 1 3; ln null dir/null; mknod disk b 7 259; ln disk dir/disk; ln -s /etc/x link; ln -P link dir/link
  : >"$(printf 'not\\377utf8')"; ln "$(printf 'not\\377utf8')" "$(printf 'dir/\\200')"; ln -s "$(printf 'to\\376')" "$(printf 'l\\375')"
  : >"$(printf 'new\\nline')"; : >' lead'; : >'back\\slash'; : >'*?[x]'; : >'a=b'
  mkdir -p ${LONG}/${LONG}/ä; echo deep >${LONG}/${LONG}/ä/${LONG}; ln ${LONG}/${LONG}/ä/${LONG} long-link; ln -s ${LONG}/${LONG} long-symlink
  cp -L /bin/busybox cap; setcap cap_net_raw+ep cap; cp cap suid; chmod 4755 suid; setfattr -n user.note -v 'ünï' etc/x; setfattr -n user.bin -v 0x00ff0a3d dir; setfattr -n 'user.50%' -v x dir
  echo a >acls/acl; setfacl -m u:1234:r acls/acl; setfacl -d -m g:77:rwx acls
  chown 1234:5678 dir etc/x; chown -h 4:5 link; chown 2097152:3000000000 hole; chmod 1777 acls; chmod 2750 dir
  touch -d '2011-02-03 04:05:06.789012345 UTC' etc/x hole; touch -h -d '1970-01-02 UTC' link; touch -d '2039-01-01 UTC' null`;
const UPPER = `
  rm -r gone etc/deleted; rm -r opaque; mkdir opaque; echo new >opaque/new; echo more >>etc/x; rm dir/pipe; mkfifo dir/other; ln dir/other dir/third`;

/** {@link treeManifest} less what tars do not hold, or engines decide: times of directories, number of links, sub-seconds. */
const SCRIPT = `
  find . -mindepth 1 \\( -type d -printf '%P|%y|%m|%U:%G\\n' -o -printf '%P|%y|%m|%U:%G|%T@|%l|%s\\n' \\) | sed -E 's/\\.[0-9]{10}\\|/|/' | sort
  find . \\( -type b -o -type c \\) -exec stat -c '%n %t:%T' {} + | sort
  find . ! -type d -links +1 -printf '%P\\t%i\\n' | sort | awk -F '\\t' '!($2 in first) { first[$2] = $1 } $1 != first[$2] { print $1 " is " first[$2] }'
  find . -type f -exec sha256sum {} + | sort
  find . -mindepth 1 -exec getfattr -h -d -m - -e hex {} + | sed '/trusted\\.overlay\\./d' | awk -v RS= '/=/' | sort`;
const ENV = { LC_ALL: "C", PATH: "/usr/bin:/bin:/usr/sbin:/sbin" };
const treeOf = (dir: string) => must("sh", ["-c", SCRIPT], { cwd: dir, env: ENV });

const NAME = "localhost/exported:1";

beforeAll(async () => {
  registry = await startRegistry(at("registry"));
  docker = await startDocker(host);
  containerd = await startContainerd(other);
  const storage = `[storage]\ndriver = "overlay"\ngraphroot = "${at("graph")}"\nrunroot = "${at("graphrun")}"\n`;
  writeFileSync(at("storage.conf"), storage);
  podman = { env: { ...process.env, CONTAINERS_STORAGE_CONF: at("storage.conf") } as Record<string, string> };
  mkdirSync(at("tree"));
  execFileSync("bash", ["-ec", LOWER], { cwd: at("tree") });
  await host.ok("base", "import", "b", at("tree"));
  execFileSync("bash", ["-ec", UPPER], { cwd: await host.ok("base", "edit", "b") });
  await host.ok("base", "commit", "b");
  await host.ok("create", "i", "b", "--opaque", "none");
  expected = await treeOf(await host.ok("mount", "i"));
  await host.ok("base", "export", "b", at("b.tar"));
  await host.ok("base", "export", "b", `oci:${at("layout")}:1`);
  await host.ok("base", "export", "b", `oci-archive:${at("archive.tar")}:1`);
  await host.ok("base", "export", "b", `docker://${registry.address}/b:1`, "--tls-verify=false");
});

afterAll(async () => {
  await docker?.stop();
  await containerd?.stop();
  await registry?.stop();
  await host.remove();
  await other.remove();
});

/** What Docker's image shows, by the directories of its layers. */
async function ofDocker(name: string): Promise<string> {
  const { stdout } = await docker.docker("image", "inspect", "--format", "{{json .GraphDriver.Data}}", name);
  const { UpperDir, LowerDir } = JSON.parse(stdout) as { UpperDir: string; LowerDir?: string };
  return ofLayers([UpperDir, ...(LowerDir?.split(":") ?? [])]);
}

async function ofLayers(dirs: readonly string[]): Promise<string> {
  const merged = mkdtempSync(at("merged-"));
  const empty = mkdtempSync(at("empty-"));
  await must("mount", ["-t", "overlay", "-o", `lowerdir=${[...dirs, empty].join(":")}`, "none", merged]);
  try {
    return await treeOf(merged);
  } finally {
    await must("umount", [merged]);
  }
}

async function ofPodman(name: string): Promise<string> {
  const merged = (await must("podman", ["image", "mount", name], podman)).trim();
  try {
    return await treeOf(merged);
  } finally {
    await must("podman", ["image", "umount", name], podman);
  }
}

describe("what is exported", () => {
  it("as a tar: GNU tar, Docker and podman", async () => {
    mkdirSync(at("gnu"));
    await must("tar", ["--xattrs", "--xattrs-include=*", "--acls", "--numeric-owner", "-xpf", at("b.tar")], {
      cwd: at("gnu"),
    });
    expect(await treeOf(at("gnu"))).toBe(expected);
    await docker.docker("import", at("b.tar"), "from-tar:1");
    expect(await ofDocker("from-tar:1")).toBe(expected);
    await must("podman", ["import", "-q", at("b.tar"), "localhost/from-tar:1"], podman);
    expect(await ofPodman("localhost/from-tar:1")).toBe(expected);
  });

  it("as a layout or an archive of one: umoci, podman, containerd", async () => {
    await must("umoci", ["unpack", "--image", `${at("layout")}:1`, at("unpacked")]);
    expect(await treeOf(at("unpacked/rootfs"))).toBe(expected);
    await must("skopeo", ["copy", "-q", `oci:${at("layout")}:1`, `containers-storage:${NAME}`], podman);
    expect(await ofPodman(NAME)).toBe(expected);
    const ok = async (...args: string[]) =>
      expect(await containerd.ctr(...args)).toMatchObject({ status: 0 });
    await ok("image", "import", "--base-name", "localhost/exported", at("archive.tar"));
    mkdirSync(at("by-ctr"));
    await ok("image", "mount", NAME, at("by-ctr"));
    const tree = await treeOf(at("by-ctr"));
    await ok("image", "unmount", at("by-ctr"));
    expect(tree).toBe(expected);
  });

  it("to a registry: Docker, podman", async () => {
    const name = `${registry.address}/b:1`;
    await docker.docker("pull", name);
    expect(await ofDocker(name)).toBe(expected);
    await must("podman", ["pull", "-q", "--tls-verify=false", name], podman);
    expect(await ofPodman(name)).toBe(expected);
  });
});
