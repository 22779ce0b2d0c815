/**
 * Which parts of a wanted plan become the machine's own, and when. What cannot be taken over keeps
 * its recorded value, so that the next comparison says it again until somebody does what it needs.
 *
 * A system script is the machine's own once it passed: until then (the first boot failed, somebody
 * mended the script) the wanted one is what the next try runs.
 */
import type { PlannedScript, RecordedPlan } from "./types.ts";
import { diffPlans } from "./diff.ts";

export interface Adoption {
  /** All scripts of the first boot passed; unknown counts as yes. */
  readonly firstBootDone: boolean;
}

/** On the running machine: everything that `diff.ts` calls live. */
export function adoptLive(
  recorded: RecordedPlan,
  wanted: RecordedPlan,
  options: Adoption,
): RecordedPlan {
  const changes = diffPlans(recorded, wanted);
  const live = (prefix: string) =>
    changes.filter((c) => c.key === prefix || c.key.startsWith(`${prefix}.`))
      .every((c) => c.how === "live");
  return {
    ...recorded,
    shutdownTimeoutMs: wanted.shutdownTimeoutMs,
    hostname: wanted.hostname,
    user: wanted.user,
    ssh: wanted.ssh,
    scripts: scriptsOf(recorded, wanted, options),
    fileSystems: wanted.fileSystems,
    mounts: live("mounts") ? wanted.mounts : recorded.mounts,
    ports: wanted.ports,
    autoPorts: wanted.autoPorts,
    ready: wanted.ready,
    services: wanted.services,
    hooks: wanted.hooks,
    screenshotTask: wanted.screenshotTask,
    recovery: live("recovery") ? wanted.recovery : recorded.recovery,
    agent: wanted.agent,
  };
}

/**
 * At a start: everything but what only a new disk or a new provisioning brings. `newDisk`: nothing
 * of the old machine is left to keep.
 */
export function adoptAtStart(
  recorded: RecordedPlan | undefined,
  wanted: RecordedPlan,
  options: Adoption & { readonly newDisk: boolean },
): RecordedPlan {
  if (recorded === undefined || options.newDisk) return wanted;
  return {
    ...wanted,
    image: recorded.image,
    diskBytes: Math.max(recorded.diskBytes, wanted.diskBytes),
    scripts: scriptsOf(recorded, wanted, options),
  };
}

/** After `rum provision --system`: the scripts are what ran. */
export function adoptScripts(recorded: RecordedPlan, wanted: RecordedPlan): RecordedPlan {
  return { ...recorded, scripts: wanted.scripts };
}

/** The boot script is the wanted one; a system script that ran stays the one that ran. */
function scriptsOf(
  recorded: RecordedPlan,
  wanted: RecordedPlan,
  { firstBootDone }: Adoption,
): readonly PlannedScript[] {
  if (!firstBootDone) return wanted.scripts;
  return [
    ...recorded.scripts.filter((s) => s.runOn === "system"),
    ...wanted.scripts.filter((s) => s.runOn === "boot"),
  ];
}
