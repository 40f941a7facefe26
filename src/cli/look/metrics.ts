import { VeneerError } from "../../errors.ts";
import { makeBehind } from "../../inventory/behind.ts";
import { listRunning } from "../../inventory/running.ts";
import { baseTree } from "../../inventory/tree.ts";
import { viewInstances } from "../../inventory/view.ts";
import { readLayer } from "../../store/layers.ts";
import type { Store } from "../../store/paths.ts";
import { allRollouts } from "../../store/rollouts.ts";
import { allVersions } from "../../store/versions.ts";
import type { Command } from "../framework/command.ts";

export const command: Command = {
  name: "metrics",
  summary: "Print figures of the store for Prometheus",
  operands: [],
  options: [],
  description: `Prints the text format that the textfile collector of node_exporter reads. Let a timer or cron write it to another file in that
directory, then rename that.`,
  examples: [
    "veneer metrics >/var/lib/prometheus/node-exporter/veneer.prom.new && \\",
    "    mv /var/lib/prometheus/node-exporter/veneer.prom.new /var/lib/prometheus/node-exporter/veneer.prom",
  ],
  run(context) {
    for (const { name, help, samples } of metrics(context.settings.store)) {
      context.out(`# HELP ${name} ${help}`);
      context.out(`# TYPE ${name} gauge`);
      for (const [labels, value] of samples) context.out(`${name}${labelText(labels)} ${value}`);
    }
  },
};

interface Metric {
  readonly name: string;
  readonly help: string;
  readonly samples: readonly (readonly [Readonly<Record<string, string>>, number])[];
}

function metrics(store: Store): Metric[] {
  const bases = baseTree(store, (base, error) => {
    throw new VeneerError("FAILED", `base ${base}`, { cause: error });
  });
  const instances = viewInstances(store);
  const running = listRunning(store);
  const behind = makeBehind(store);
  const layers = new Set(
    [...allVersions(store)].flatMap(({ manifest }) =>
      manifest.layers.flatMap((layer) => ("id" in layer ? [layer.id] : [])),
    ),
  );
  const late = (base: string) =>
    instances.filter(({ instance }) => instance?.base === base && (behind(base, instance.version) ?? 0) > 0)
      .length;
  return [
    {
      name: "veneer_base_current_version",
      help: "Number of the current version of a base.",
      samples: bases.flatMap(({ base, versions }) => {
        const current = versions.find((one) => one.current);
        return current ? [[{ base }, current.version] as const] : [];
      }),
    },
    {
      name: "veneer_base_current_created_seconds",
      help: "When the current version of a base was made, seconds since the epoch.",
      samples: bases.flatMap(({ base, versions }) => {
        const current = versions.find((one) => one.current);
        return current ? [[{ base }, Math.floor(Date.parse(current.created) / 1000)] as const] : [];
      }),
    },
    {
      name: "veneer_base_versions",
      help: "Versions of a base.",
      samples: bases.map(({ base, versions }) => [{ base }, versions.length] as const),
    },
    {
      name: "veneer_base_failed_versions",
      help: "Versions of a base that failed their check.",
      samples: bases.map(
        ({ base, versions }) => [{ base }, versions.filter(({ failed }) => failed).length] as const,
      ),
    },
    {
      name: "veneer_base_instances_behind",
      help: "Instances on an older version than the current one of their base.",
      samples: bases.map(({ base }) => [{ base }, late(base)] as const),
    },
    {
      name: "veneer_instances",
      help: "Instances by state.",
      samples: ["running", "mounted", "in-use", "stopped", "damaged"].map(
        (state) => [{ state }, instances.filter((one) => one.state === state).length] as const,
      ),
    },
    {
      name: "veneer_running",
      help: "Containers and mounts that are in use, by what started them.",
      samples: [...new Set(running.map(({ record }) => record.engine))]
        .sort()
        .map(
          (engine) => [{ engine }, running.filter(({ record }) => record.engine === engine).length] as const,
        ),
    },
    {
      name: "veneer_rollouts_unfinished",
      help: "Rollouts that have not ended.",
      samples: [[{}, [...allRollouts(store)].length]],
    },
    {
      name: "veneer_layers_bytes",
      help: "What the layers of the store take on disk.",
      samples: [[{}, [...layers].reduce((sum, id) => sum + (readLayer(store, id)?.bytes ?? 0), 0)]],
    },
  ];
}

function labelText(labels: Readonly<Record<string, string>>): string {
  const pairs = Object.entries(labels).map(
    ([key, value]) => `${key}="${value.replace(/[\\"\n]/g, (c) => (c === "\n" ? "\\n" : `\\${c}`))}"`,
  );
  return pairs.length === 0 ? "" : `{${pairs.join(",")}}`;
}
