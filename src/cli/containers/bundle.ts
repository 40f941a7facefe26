import { resolve } from "node:path";
import { ROOTFS, writeBundle } from "../../containers/bundle.ts";
import { containerFacts } from "../../containers/facts.ts";
import { ociConfig } from "../../containers/oci-config.ts";
import { readInstance } from "../../store/instances.ts";
import { MINIMAL_ENVIRONMENT } from "../../sys/environment.ts";
import { programPath } from "../../sys/self.ts";
import { requireRoot } from "../../userns/of-container.ts";
import type { Command } from "../framework/command.ts";
import { CONTAINER_OPTIONS, readContainer, refuseForExisting } from "./options.ts";

export const command: Command = {
  name: "bundle",
  summary: "Write an OCI bundle on a base, which any runtime can run",
  operands: [
    { name: "BASE[@V]", complete: "base" },
    { name: "DIR", complete: "directory" },
  ],
  options: CONTAINER_OPTIONS,
  rest: "COMMAND...",
  description: `
DIR must be empty or absent. Its config.json has the annotation run.veneer.base and the hooks that give the
container its root, so that runc and crun run it as it is; under veneer-runc or veneer-crun the hooks see that
the root exists already. Without a COMMAND it runs the image's command, else /bin/sh.`,
  examples: ["veneer bundle debian /tmp/b -- sleep 60 && runc run --bundle /tmp/b web1"],
  run(context, input) {
    const options = readContainer(context, input);
    const { store } = context.settings;
    if (options.name !== undefined && readInstance(store, options.name)) refuseForExisting(options);
    const directory = resolve(input.operands[1] as string);
    const id = options.name ?? options.base.name;
    const words = ["--root", store.root, "--run", store.run];
    const config = context.handedConfig === "" ? [] : ["--config", context.handedConfig];
    const hook = {
      path: programPath(),
      args: [
        "veneer",
        ...words,
        ...config,
        "hook",
        "oci",
        ...(options.shiftedCopy ? ["--shifted-copy"] : []),
      ],
      env: MINIMAL_ENVIRONMENT,
    };
    const facts = containerFacts(store, options, id, ROOTFS);
    const root = options.idmap && requireRoot(options.idmap);
    writeBundle(directory, ociConfig({ ...facts, hooks: { createRuntime: [hook], poststop: [hook] } }), root);
    context.out(directory);
  },
};
