/** `rum up --dry-run`: the plan, and what it would change, without touching anything. */
import { EXIT } from "../base/errors.ts";
import type { Config } from "../config/types.ts";
import { planOf } from "../daemon/plan_source.ts";
import { chooseDoor } from "../libvirt/host_facts.ts";
import { diffPlans, renderChanges } from "../plan/diff.ts";
import { machineUuid } from "../plan/identity.ts";
import { planDocument, renderPlan } from "../plan/render.ts";
import { readState } from "../store/state_file.ts";
import type { Target } from "./target.ts";
import type { Context } from "./verb.ts";

export async function dryRun(context: Context, target: Target, config: Config): Promise<number> {
  const reading = await readState(target.paths);
  const record = reading.kind === "ok" ? reading.record : undefined;
  const hypervisor = record?.hypervisor ?? await chooseDoor({
    uid: context.host.uid,
    wanted: config.advanced.libvirtUri,
    embedRoot: target.paths.embedRoot,
    signal: context.signal,
  });
  const { plan } = await planOf(config, {
    env: context.host,
    rum: context.paths,
    hypervisor,
    ...(record?.plan === undefined ? {} : { recorded: record.plan }),
    identity: { id: target.id, uuid: record?.uuid ?? machineUuid(config.path, target.id) },
    signal: context.signal,
  });
  const changes = record?.plan === undefined ? [] : diffPlans(record.plan, plan);
  context.out.document(
    "plan",
    { plan: planDocument(plan), exists: record !== undefined, changes },
    () =>
      [...renderPlan(plan), ...renderChanges(changes).map((line) => `change: ${line}`)].join("\n"),
  );
  return EXIT.ok;
}
