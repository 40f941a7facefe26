/** Whose container it is, as far as engines keep their users apart. */
import type { Annotations } from "./root-request.ts";

/** Where containerd, and Docker through it, have their bundles: NAMESPACE/ID. */
const CONTAINERD = /\/io\.containerd\.runtime\.v2\.task\/([^/]+)\/[^/]+\/?$/;
/** podman and CRI-O */
const STORAGE = /\/overlay-containers\/[0-9a-f]{64}\/userdata\/?$/;

/** containerd's namespace of Kubernetes. */
const KUBERNETES = "k8s.io";
/** A pod's namespace; written by the plugin, not by users. */
const POD_NAMESPACES = ["io.kubernetes.cri.sandbox-namespace", "io.kubernetes.pod.namespace"] as const;

/**
 * By the path of the bundle, which the engine chooses; in Kubernetes by the pod's namespace too. Annotations of a
 * container that no part of Kubernetes made are its user's, and say nothing here.
 */
export function tenantOf(bundle: string, annotations: Annotations): string {
  const namespace = CONTAINERD.exec(bundle)?.[1];
  const [cri, crio] = POD_NAMESPACES.map((key) => annotations?.[key]);
  if (namespace === KUBERNETES) return `kubernetes ${cri ?? ""}`;
  if (namespace !== undefined) return `containerd ${namespace}`;
  if (!STORAGE.test(bundle)) return "runtime";
  return crio === undefined ? "podman" : `kubernetes ${crio}`;
}
