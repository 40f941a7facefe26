/** The tenant of a container, as far as engines separate their users. */
import type { Annotations } from "./root-request.ts";

/** The bundles of containerd, and of Docker through it: NAMESPACE/ID. */
const CONTAINERD = /\/io\.containerd\.runtime\.v2\.task\/([^/]+)\/[^/]+\/?$/;
/** podman and CRI-O */
const STORAGE = /\/overlay-containers\/[0-9a-f]{64}\/userdata\/?$/;

/** containerd's namespace of Kubernetes. */
const KUBERNETES = "k8s.io";
/** A pod's namespace, which the CRI plugin sets, not the user. */
const POD_NAMESPACES = ["io.kubernetes.cri.sandbox-namespace", "io.kubernetes.pod.namespace"] as const;

/**
 * The tenant, from the path of the bundle, which the engine chooses, and in Kubernetes also from the pod's namespace.
 * Outside of Kubernetes, annotations come from the user and are not used here.
 */
export function tenantOf(bundle: string, annotations: Annotations): string {
  const namespace = CONTAINERD.exec(bundle)?.[1];
  const [cri, crio] = POD_NAMESPACES.map((key) => annotations?.[key]);
  if (namespace === KUBERNETES) return `kubernetes ${cri ?? ""}`;
  if (namespace !== undefined) return `containerd ${namespace}`;
  if (!STORAGE.test(bundle)) return "runtime";
  return crio === undefined ? "podman" : `kubernetes ${crio}`;
}
