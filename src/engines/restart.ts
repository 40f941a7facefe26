/** Cutover of a running container: its engine stops it and starts it again on the fresh upper. */
import { VeneerError } from "../errors.ts";
import { cutover } from "../rebase/generations.ts";
import { liveHolder } from "../rebase/target.ts";
import type { Settings } from "../request/config.ts";
import { readVersion } from "../store/bases.ts";
import type { Instance } from "../store/instances.ts";
import type { UseRecord } from "../store/records.ts";
import type { BaseRef } from "../text/names.ts";
import { callClient } from "./client.ts";
import { type RestartPlan, restartPlan } from "./restart-plan.ts";

/** How long the overlay may outlive the engine's stop command, in milliseconds. */
const END_TIME = 20_000;

/**
 * Like {@link cutover}, for an instance on which a container may be running: its engine's commands stop and start it.
 * Throws before it is stopped when the engine is not known or would remove the container. When the cutover fails, the
 * container is started again as it was.
 */
export async function cutoverRestarting(
  settings: Settings,
  id: string,
  ref: BaseRef,
  env: NodeJS.ProcessEnv,
): Promise<Instance> {
  const { store } = settings;
  readVersion(store, ref);
  const holder = liveHolder(store, id);
  if (!holder) return cutover(settings, id, ref);
  const plan = await planOf(holder, id, env);
  await callClient(plan.stop, env);
  await waitUntilEnded(settings, id);
  let instance: Instance;
  try {
    instance = cutover(settings, id, ref);
  } catch (error) {
    await callClient(plan.start, env);
    throw error;
  }
  await callClient(plan.start, env, {
    hint: `the instance has its fresh upper: 'veneer fallback ${id}' returns to the former one`,
  });
  return instance;
}

async function planOf(holder: UseRecord, id: string, env: NodeJS.ProcessEnv): Promise<RestartPlan> {
  const name = holder.container ?? holder.key;
  const hint = `stop it, then 'veneer cutover ${id} …', then start it`;
  const plan = restartPlan(holder);
  if (!plan)
    throw new VeneerError("NO_ENGINE", `cannot tell which engine started container ${name}`, { hint });
  if (plan.autoRemove && (await callClient(plan.autoRemove, env)).trim() === "true") {
    throw new VeneerError(
      "NOT_RESTARTABLE",
      `${plan.engine} removes container ${name} when it stops (--rm)`,
      {
        hint,
      },
    );
  }
  return plan;
}

async function waitUntilEnded(settings: Settings, id: string): Promise<void> {
  for (const end = Date.now() + END_TIME; liveHolder(settings.store, id); ) {
    if (Date.now() > end) {
      throw new VeneerError("IN_USE", `instance ${id} is in use although its container was stopped`, {
        hint: "'veneer ps' shows its user; start the container again when that has ended",
      });
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
