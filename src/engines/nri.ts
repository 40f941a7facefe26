/** The plugin of NRI: containerd starts what is in its directory of plugins, and gives it a socket. */
import { shellWord } from "../text/shell-word.ts";
import { type EngineSetup, ownFile } from "./engine.ts";

/** `globals` are options before the command. */
export function nri(globals: readonly string[]): EngineSetup {
  return {
    name: "nri",
    changes: ({ etc, bin }) => {
      const words = [`${bin}/veneer`, ...globals, "nri"].map(shellWord).join(" ");
      // beside /etc; the number is the plugin's place among others
      const file = `${etc.replace(/\/[^/]*$/, "")}/opt/nri/plugins/50-veneer`;
      return [{ ...ownFile(file, `#!/bin/sh\nexec ${words}\n`), mode: 0o755 }];
    },
    restart:
      'systemctl restart containerd (before containerd 2: set disable = false in its [plugins."io.containerd.nri.v1.nri"] first)',
    use: "a pod with the annotation run.veneer.base: NAME",
  };
}
