/**
 * What an `up` wanted becomes the machine's plan at two moments: when it is prepared for a start, and
 * when the guest of a machine that has power already (its last try failed) is provisioned again. Each
 * wanted plan's changes are told once. A machine that is ready takes its changes by `live_changes.ts`.
 */
import type { MachineRecord, RecordPatch } from "../machine/record.ts";
import type { PlanChanges } from "../machine/events.ts";
import { adoptAtStart, adoptLive } from "../plan/adopt.ts";
import { diffPlans, renderApplied, renderNeeds } from "../plan/diff.ts";
import type { Plan, RecordedPlan } from "../plan/types.ts";
import type { EventBody } from "../protocol/machine_events.ts";

export interface PlanAdoptionOptions {
  readonly record: () => MachineRecord;
  readonly save: (patch: RecordPatch) => Promise<void>;
  readonly emit: (event: EventBody) => void;
}

export interface PlanAdoption {
  /** What to record with the definition; `tell` when it is recorded. */
  atStart(plan: Plan, options: { readonly newDisk: boolean }): Adopted;
  /**
   * Before scripts run: what needs no new start is recorded, and with it used. Answers with the keys
   * that changed.
   */
  beforeScripts(plan: Plan | undefined): Promise<string[]>;
}

export interface Adopted {
  readonly plan: RecordedPlan;
  tell(): void;
}

export function createPlanAdoption({ record, save, emit }: PlanAdoptionOptions): PlanAdoption {
  const told = new WeakSet<Plan>();

  function tell(wanted: Plan, before: RecordedPlan | undefined, after: RecordedPlan): void {
    if (told.has(wanted)) return;
    told.add(wanted);
    if (before === undefined) return;
    const { applied, needs } = changesBetween(before, after, recordable(wanted));
    if (applied.length + needs.length > 0) emit({ kind: "changes", applied, needs });
  }

  const firstBootDone = () => record().first_boot.kind === "done";

  return {
    atStart(plan, { newDisk }) {
      const before = newDisk ? undefined : record().plan;
      const after = adoptAtStart(before, recordable(plan), {
        newDisk,
        firstBootDone: firstBootDone(),
      });
      return { plan: after, tell: () => tell(plan, before, after) };
    },
    async beforeScripts(plan) {
      const before = record().plan;
      if (plan === undefined || before === undefined) return [];
      const after = adoptLive(before, recordable(plan), { firstBootDone: firstBootDone() });
      const changes = diffPlans(before, after);
      if (changes.length > 0) await save({ plan: after });
      tell(plan, before, after);
      return changes.map(({ key }) => key);
    },
  };
}

function changesBetween(
  before: RecordedPlan,
  after: RecordedPlan,
  wanted: RecordedPlan,
): PlanChanges {
  return {
    applied: renderApplied(diffPlans(before, after)),
    needs: renderNeeds(diffPlans(after, wanted)),
  };
}

function recordable({ paths: _, ...plan }: Plan): RecordedPlan {
  return plan;
}
