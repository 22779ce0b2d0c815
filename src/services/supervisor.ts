/**
 * All services of one guest: pure, `stepSupervisor(state, event, now) → [state, effects]`. It owns
 * which instances exist, who may start when (`after`), what a request means and when it is answered.
 * Instances move by `instance.ts`; requests are read and answered in `requests.ts`.
 *
 * Rules that hold after every step (tested on random walks): what runs is in the present spec or is
 * being stopped (INV-D004); (service, index) is unique, being a place in an array (INV-D005); what
 * runs unstopped has index < instances (INV-D006); every request gets exactly one reply; after
 * `shutdown` nothing starts any more.
 */
import { assertNever } from "../base/assert_never.ts";
import type { ServiceSpec } from "../protocol/services.ts";
import {
  Draft,
  type ServiceEntry,
  SHUTTING_DOWN,
  type Supervisor,
  type SupervisorEffect,
  type SupervisorEvent,
} from "./draft.ts";
import { isActive, isLive, type Now } from "./instance.ts";
import { planServices, type PresentService, startOrder } from "./plan.ts";
import { beginRequest, settleRequests } from "./requests.ts";

export function stepSupervisor(
  state: Supervisor,
  event: SupervisorEvent,
  now: Now,
): readonly [Supervisor, readonly SupervisorEffect[]] {
  const draft = new Draft(state, now);
  switch (event.kind) {
    case "instance":
      draft.move(event.key, event.event);
      break;
    case "request":
      beginRequest(draft, event);
      break;
    case "apply":
      apply(draft, event.id, event.specs);
      break;
    case "shutdown":
      shutDown(draft, event.id);
      break;
    case "restore":
      restore(draft, event);
      break;
    default:
      assertNever(event);
  }
  startWaiting(draft);
  settleRequests(draft);
  // What was waited for may be gone from rum.toml: then nothing holds the one that waited.
  if (dropEnded(draft)) startWaiting(draft);
  const { services, pending, shuttingDown, lastGeneration } = draft;
  return [{ services, pending, shuttingDown, lastGeneration }, draft.effects];
}

function apply(draft: Draft, id: number, specs: readonly ServiceSpec[]): void {
  if (draft.shuttingDown) return draft.reply(id, SHUTTING_DOWN);
  const present = new Map<string, PresentService>();
  for (const [name, { spec, instances, wanted, removing }] of draft.services) {
    present.set(name, {
      spec,
      count: instances.length,
      // One that was on its way out and is back counts as wanted anew.
      wanted: wanted || removing,
    });
  }
  const actions = planServices(specs, present);
  for (const action of actions) {
    if (action.kind !== "stop") continue;
    draft.move({ service: action.service, index: action.index }, { kind: "stop" });
    if (action.why === "removed") {
      draft.change(action.service, { removing: true, waiting: [] });
      draft.withdraw(action.service, "it was removed from rum.toml");
    }
  }
  for (const spec of specs) {
    const entry = draft.entry(spec.name);
    if (entry === undefined) {
      draft.services.set(spec.name, newEntry(draft, spec, true));
      continue;
    }
    const more = Math.max(0, spec.instances - entry.instances.length);
    draft.change(spec.name, {
      spec,
      instances: [...entry.instances, ...draft.newInstances(more)],
      wanted: entry.wanted || entry.removing,
      removing: false,
      waiting: entry.waiting.filter((index) => index < spec.instances),
    });
  }
  for (const action of actions) {
    if (action.kind === "restart") {
      const { service, index } = action;
      // One that still waits for its turn will start with the new spec anyway.
      if (draft.entry(service)!.waiting.includes(index)) continue;
      draft.move({ service, index }, { kind: "restart" });
    } else if (action.kind === "update" && action.fields.includes("health")) {
      draft.moveAll(action.service, { kind: "respec" });
    } else if (action.kind === "start") {
      draft.queueStart(action.service, [action.index]);
    }
  }
  for (const { name } of specs) {
    const entry = draft.entry(name)!;
    if (!entry.wanted) continue;
    // Wanted again before its process had ended: it was scaled away, or removed, a moment ago.
    const back = entry.instances.flatMap((instance, index) =>
      instance.kind === "stopping" && instance.next === "stopped" && index < entry.spec.instances
        ? [index]
        : []
    );
    draft.queueStart(name, back);
  }
  draft.pending.push({ id, kind: "apply", services: removed(actions), said: summary(actions) });
}

function newEntry(draft: Draft, spec: ServiceSpec, wanted: boolean): ServiceEntry {
  const instances = draft.newInstances(spec.instances);
  return { spec, instances, wanted, removing: false, waiting: [] };
}

/** What still runs is taken over, what does not is started: never a second process (CTR-D004). */
function restore(draft: Draft, event: Extract<SupervisorEvent, { kind: "restore" }>): void {
  for (const spec of event.specs) {
    draft.services.set(spec.name, newEntry(draft, spec, !event.stopped.includes(spec.name)));
  }
  for (const { key, process } of event.found) draft.move(key, process);
  for (const spec of event.specs) {
    const entry = draft.entry(spec.name)!;
    if (!entry.wanted) continue;
    draft.queueStart(spec.name, entry.instances.flatMap((one, i) => isLive(one) ? [] : [i]));
  }
}

function removed(actions: ReturnType<typeof planServices>): string[] {
  return [...new Set(actions.flatMap((a) => a.kind === "stop" ? [a.service] : []))];
}

function summary(actions: ReturnType<typeof planServices>): string {
  const count = (kind: string) => actions.filter((action) => action.kind === kind).length;
  return `${count("start")} to start, ${count("restart")} to restart, ${count("stop")} stopped`;
}

function shutDown(draft: Draft, id: number): void {
  draft.shuttingDown = true;
  for (const pending of draft.pending) {
    if (pending.kind !== "shutdown") draft.reply(pending.id, SHUTTING_DOWN);
  }
  draft.pending = draft.pending.filter((pending) => pending.kind === "shutdown");
  for (const service of draft.services.keys()) {
    draft.change(service, { waiting: [] });
    draft.moveAll(service, { kind: "stop" });
  }
  draft.pending.push({
    id,
    kind: "shutdown",
    services: [...draft.services.keys()],
    said: "Every service has ended",
  });
}

/** Starts what waits and whose predecessors run, until nothing more moves. */
function startWaiting(draft: Draft): void {
  if (draft.shuttingDown) return;
  for (const { name } of startOrder([...draft.services.values()].map((entry) => entry.spec))) {
    const entry = draft.entry(name)!;
    if (entry.waiting.length === 0 || entry.removing) continue;
    if (!entry.spec.after.every((before) => hasStarted(draft.entry(before)))) continue;
    draft.change(name, { waiting: [] });
    for (const index of [...entry.waiting].sort((a, b) => a - b)) {
      const instance = draft.entry(name)!.instances[index];
      if (instance === undefined || isLive(instance)) continue;
      // One that is still ending starts again when it has ended.
      draft.move({ service: name, index }, {
        kind: instance.kind === "stopping" ? "restart" : "start",
      });
    }
  }
}

/** Every instance runs, or did its work and ended well. A name that is not defined holds nobody. */
function hasStarted(entry: ServiceEntry | undefined): boolean {
  return entry === undefined ||
    entry.instances.every((instance) =>
      instance.kind === "running" || instance.kind === "unhealthy" ||
      (instance.kind === "stopped" && instance.text !== undefined && entry.wanted)
    );
}

/** Instances beyond the spec go when they have ended, from the top; removed services with them. */
/** @returns whether a whole service went */
function dropEnded(draft: Draft): boolean {
  let gone = false;
  for (const [service, entry] of draft.services) {
    const keep = entry.removing ? 0 : entry.spec.instances;
    let length = entry.instances.length;
    while (length > keep && !isActive(entry.instances[length - 1])) {
      length--;
      draft.lastGeneration = Math.max(draft.lastGeneration, entry.instances[length].generation);
      draft.effects.push({ kind: "forget", key: { service, index: length } });
    }
    if (length === 0 && entry.removing) {
      draft.services.delete(service);
      gone = true;
    } else if (length < entry.instances.length) {
      draft.change(service, { instances: entry.instances.slice(0, length) });
    }
  }
  return gone;
}
