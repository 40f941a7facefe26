/** The manifests of hooks/kubernetes: valid, and what they say of each other fits. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { MANIFESTS, type Manifest, parseYaml, readManifests } from "../../helpers/daemonset.ts";
import { must, PROJECT } from "../../helpers/host.ts";
import { schemaErrors } from "../../helpers/schemas.ts";

let kustomization: Manifest;
const byKind: Record<string, Manifest> = {};
let pod: Manifest;

beforeAll(async () => {
  [kustomization] = await readManifests("install/kustomization.yaml");
  for (const file of [
    ...kustomization.resources.map((name: string) => `install/${name}`),
    "sample/deployment.yaml",
  ]) {
    for (const manifest of await readManifests(file)) byKind[manifest.kind] = manifest;
  }
  pod = byKind.DaemonSet.spec.template.spec;
}, 30_000);

describe("the manifests of hooks/kubernetes", () => {
  it("are what the published schemas say; a wrong field, type or want is found", async () => {
    const changed = (change: (copy: Manifest) => void, kind = "DaemonSet") => {
      const copy = structuredClone(byKind[kind]);
      change(copy);
      return copy;
    };
    const wrong = [
      changed((copy) => (copy.spec.template.spec.hostPid = true)),
      changed((copy) => (copy.spec.template.spec.containers[0].volumeMounts[0].path = "/x")),
      changed((copy) => (copy.spec.minReadySeconds = "10")),
      changed((copy) => delete copy.spec.selector),
      changed((copy) => delete copy.handler, "RuntimeClass"),
      changed((copy) => (copy.apiVersion = "apps/v2")),
      changed((copy) => (copy.spec.template.spec.runtimeClass = "veneer"), "Deployment"),
    ];
    const kinds = Object.values(byKind);
    expect(kinds.map(({ kind }) => kind).sort()).toEqual(
      ["DaemonSet", "Deployment", "Namespace", "RuntimeClass", "ServiceAccount"].sort(),
    );
    const errors = await schemaErrors([...kinds, ...wrong]);
    expect(errors.slice(0, kinds.length).join("")).toBe("");
    const found = errors.slice(kinds.length);
    expect(found[0]).toContain(`'"hostPid"' does not exist`);
    expect(found[1]).toContain(`'"path"' does not exist`);
    expect(found[2]).toContain("'string' is not assignable to type 'number'");
    expect(found[3]).toContain("'selector' is missing");
    expect(found[4]).toContain("'handler' is missing");
    expect(found[5]).toContain("apps/v2");
    expect(found[6]).toContain(`'"runtimeClass"' does not exist`);
  }, 60_000);

  it("name each other rightly", () => {
    const { DaemonSet, Deployment, Namespace, RuntimeClass, ServiceAccount } = byKind;
    const namespace = Namespace.metadata.name;
    expect([kustomization, DaemonSet.metadata, ServiceAccount.metadata].map((at) => at.namespace)).toEqual([
      namespace,
      namespace,
      namespace,
    ]);
    expect(pod.serviceAccountName).toBe(ServiceAccount.metadata.name);
    expect(DaemonSet.spec.template.metadata.labels).toMatchObject(DaemonSet.spec.selector.matchLabels);
    expect(pod.nodeSelector).toEqual(RuntimeClass.scheduling.nodeSelector);
    expect(Deployment.spec.template.spec.runtimeClassName).toBe(RuntimeClass.metadata.name);
    expect(Deployment.spec.template.metadata.annotations["run.veneer.base"]).toBe("debian");
    expect(readFileSync(join(MANIFESTS, "install/settings/bases"), "utf8")).toMatch(/^debian docker:\/\//m);
    // setup adds the handler by this name
    expect(readFileSync(join(PROJECT, "src/engines/list.ts"), "utf8")).toContain(
      `"${RuntimeClass.handler}"]`,
    );
  });

  it("mount what the script reads, from what the kustomization makes", () => {
    const [generator] = kustomization.configMapGenerator;
    for (const file of generator.files) expect(existsSync(join(MANIFESTS, "install", file)), file).toBe(true);
    const keys = generator.files.map((file: string) => file.replace(/^.*\//, ""));
    const script = readFileSync(join(MANIFESTS, "node.sh"), "utf8");
    const read = [...script.matchAll(/setting ([a-z]+)\)|\$settings\/([a-z.]+)/g)].map(
      (found) => found[1] ?? found[2],
    );
    expect([...new Set(read)].sort()).toEqual([...keys].sort());
    const volumes = Object.fromEntries(pod.volumes.map((volume: Manifest) => [volume.name, volume]));
    expect(volumes.settings.configMap.name).toBe(generator.name);
    for (const container of [...pod.initContainers, ...pod.containers]) {
      expect(container.image).toBe(kustomization.images[0].name);
      for (const { name, mountPath } of container.volumeMounts) {
        expect(volumes, name).toHaveProperty(name);
        // the store's paths are the same on the node and in the pod
        const { hostPath } = volumes[name];
        if (hostPath) expect(hostPath.path).toBe(mountPath);
      }
    }
    expect(JSON.parse(readFileSync(join(MANIFESTS, "install/settings/config.json"), "utf8"))).toEqual({
      annotations: { bases: ["*"], instances: [] },
    });
  });

  it("ask for no more than is said why: no privileged container, no rights in the API", () => {
    expect(pod.automountServiceAccountToken).toBe(false);
    for (const { securityContext } of [...pod.initContainers, ...pod.containers]) {
      expect(securityContext).toMatchObject({ privileged: false, readOnlyRootFilesystem: true });
      expect(securityContext.capabilities.drop).toEqual(["ALL"]);
    }
    expect(Object.keys(byKind).filter((kind) => /Role/.test(kind))).toEqual([]);
  });

  it("take themselves off again: the patches of remove/ fit", async (context) => {
    const [remove] = await readManifests("remove/kustomization.yaml");
    const [patch] = remove.patches;
    expect(patch.target).toEqual({ kind: "DaemonSet", name: byKind.DaemonSet.metadata.name });
    const [operations] = [await parseYaml(patch.patch)];
    for (const { op, path } of operations) {
      const parts = path.split("/").slice(1, op === "replace" ? undefined : -1);
      const at = parts.reduce((value: Manifest, key: string) => value?.[key], byKind.DaemonSet);
      expect(at, path).toBeDefined();
    }
    if (!existsSync("/usr/bin/kubectl")) return context.skip("needs kubectl for what kustomize makes of it");
    const build = async (name: string) =>
      parseYaml(await must("kubectl", ["kustomize", join(MANIFESTS, name)]));
    const [installed, removed] = [await build("install"), await build("remove")];
    const daemonset = (all: Manifest[]) => all.find(({ kind }) => kind === "DaemonSet").spec.template.spec;
    expect(daemonset(installed).initContainers[0].args).toEqual(["install"]);
    expect(daemonset(removed).initContainers[0].args).toEqual(["remove"]);
    expect(daemonset(removed).containers[0]).toMatchObject({
      command: ["/bin/sleep", "infinity"],
      readinessProbe: { exec: { command: expect.arrayContaining(["removed"]) } },
    });
    const config = installed.find(({ kind }) => kind === "ConfigMap");
    expect(config.metadata.name).toMatch(/^veneer-node-[a-z0-9]+$/);
    const settings = daemonset(installed).volumes.find(({ name }: Manifest) => name === "settings");
    expect(settings.configMap.name).toBe(config.metadata.name);
    expect((await schemaErrors([...installed, ...removed])).join("")).toBe("");
  }, 60_000);
});
