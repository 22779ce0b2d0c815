/**
 * A new plan on the running machine: what is live is carried out and recorded, the rest is said. The
 * wanted plan was approved when it was made (`plan_source.ts`); nothing here reads rum.toml.
 */
import type { AgentClient } from "../guest/agent_client.ts";
import type { PlanChanges } from "../machine/events.ts";
import { adoptLive } from "../plan/adopt.ts";
import { diffPlans, renderApplied, renderNeeds } from "../plan/diff.ts";
import type { Plan, RecordedPlan } from "../plan/types.ts";
import type { EventBody } from "../protocol/machine_events.ts";
import type { Folders } from "./folders.ts";
import { applyPlan } from "./guest_port.ts";
import type { MachineForwards } from "./machine_forwards.ts";
import type { MachineServices } from "./services.ts";

export interface LiveChangesOptions {
  readonly recorded: RecordedPlan;
  readonly wanted: Plan;
  readonly agent: AgentClient;
  readonly machineKey: () => Promise<string>;
  readonly services: MachineServices;
  readonly forwards: MachineForwards;
  readonly folders: Folders;
  readonly save: (plan: RecordedPlan) => Promise<void>;
  readonly emit: (event: EventBody) => void;
  readonly signal: AbortSignal;
}

export async function applyLiveChanges(options: LiveChangesOptions): Promise<PlanChanges> {
  const { recorded, agent, emit, signal } = options;
  const { paths, ...wanted } = options.wanted;
  const merged = adoptLive(recorded, wanted, { firstBootDone: true });
  const live = diffPlans(recorded, merged);
  if (live.length > 0) {
    await applyPlan(agent, { ...merged, paths }, await options.machineKey(), { signal, emit });
  }
  // Every time: an env_file may hold something else under the same plan.
  const served = await options.services.apply(agent, merged, signal);
  if (live.length > 0) {
    await options.save(merged);
    await options.forwards.apply(merged);
    await options.folders.attach(agent, { signal, wait: true });
  }
  return {
    applied: [
      ...renderApplied(live),
      ...(served === undefined ? [] : [`services: ${served}`]),
    ],
    needs: renderNeeds(diffPlans(merged, wanted)),
  };
}
