/**
 * start, stop, restart and reload, of one service or of all: what is refused at once, what is begun,
 * and when it is over. Every request gets exactly one reply, with a code where it failed and a
 * sentence always. A later request that contradicts one still under way wins, and the earlier one
 * is answered `cancelled`.
 *
 *   start    refused when any instance has a process (CTR-D011); over when each was spawned once
 *   stop     refused when none has one and none is about to (CTR-D012); over when all have ended
 *   restart  from every state (CTR-D013); over when each has a new process
 *   reload   rolling: the next instance begins when the one before runs again; ends at the first
 *            that does not
 */
import { assertNever } from "../base/assert_never.ts";
import type { Draft, Pending, Reply, ServiceEntry, SupervisorEvent } from "./draft.ts";
import { SHUTTING_DOWN } from "./draft.ts";
import { type Instance, isActive, isLive } from "./instance.ts";
import { startOrder } from "./plan.ts";

export function beginRequest(
  draft: Draft,
  event: Extract<SupervisorEvent, { kind: "request" }>,
): void {
  const { id, verb, name } = event;
  if (draft.shuttingDown) return draft.reply(id, SHUTTING_DOWN);
  const all = name === "all";
  const names = all ? defined(draft) : [name];
  const entry = draft.entry(name);
  if (!all && (entry === undefined || entry.removing)) {
    return draft.reply(id, refused("service_not_found", `There is no service "${name}"`));
  }
  switch (verb) {
    case "start":
      return start(draft, id, names, all);
    case "stop":
      return stop(draft, id, names, all);
    case "restart":
      return restart(draft, id, names);
    case "reload":
      return reload(draft, id, names, all);
    default:
      return assertNever(verb);
  }
}

function start(draft: Draft, id: number, names: readonly string[], all: boolean): void {
  const idle = names.filter((name) => !draft.entry(name)!.instances.some(isActive));
  if (idle.length === 0 && names.length > 0) {
    const text = all
      ? "Every service runs already"
      : `Service "${names[0]}" runs already: ${counts(draft.entry(names[0])!)}`;
    return draft.reply(id, refused("service_already_running", text));
  }
  for (const name of idle) {
    draft.withdraw(name, "it was started");
    draft.change(name, { wanted: true });
    // Named, it starts now; "all" keeps the order of `after`.
    if (all) draft.queueStart(name, draft.entry(name)!.instances.map((_, index) => index));
    else {
      draft.change(name, { waiting: [] });
      draft.entry(name)!.instances.forEach((_, index) =>
        draft.move({ service: name, index }, { kind: "start" })
      );
    }
  }
  draft.pending.push({ id, kind: "start", services: idle, said: `Started ${listed(idle)}` });
}

function stop(draft: Draft, id: number, names: readonly string[], all: boolean): void {
  const some = names.filter((name) => isComingOrHere(draft.entry(name)!));
  if (some.length === 0 && names.length > 0) {
    const text = all ? "No service runs" : `Service "${names[0]}" does not run`;
    return draft.reply(id, refused("service_not_running", text));
  }
  for (const name of some) {
    draft.withdraw(name, "it was stopped");
    draft.change(name, { wanted: false, waiting: [] });
    draft.moveAll(name, { kind: "stop" });
  }
  draft.pending.push({ id, kind: "stop", services: some, said: `Stopped ${listed(some)}` });
}

function restart(draft: Draft, id: number, names: readonly string[]): void {
  for (const name of names) {
    draft.withdraw(name, "it was restarted");
    draft.change(name, { wanted: true, waiting: [] });
    draft.entry(name)!.instances.forEach((_, index) =>
      draft.move({ service: name, index }, { kind: "restart" })
    );
  }
  draft.pending.push({ id, kind: "restart", services: names, said: `Restarted ${listed(names)}` });
}

function reload(draft: Draft, id: number, names: readonly string[], all: boolean): void {
  const left = names.flatMap((service) =>
    draft.entry(service)!.instances.flatMap((instance, index) =>
      isLive(instance) ? [{ service, index }] : []
    )
  );
  if (left.length === 0) {
    const text = all ? "No service runs" : `Service "${names[0]}" does not run`;
    return draft.reply(id, refused("service_not_running", text));
  }
  for (const name of names) draft.withdraw(name, "it was reloaded");
  const said = `Reloaded ${listed(names)}, one instance at a time`;
  draft.pending.push({ id, kind: "reload", services: names, said, roll: { left } });
}

/** Replies to what is over, and moves reloads on. */
export function settleRequests(draft: Draft): void {
  const pending = draft.pending;
  draft.pending = [];
  const still: Pending[] = [];
  for (const request of pending) {
    const [next, reply] = settle(draft, request);
    if (reply !== undefined) draft.reply(request.id, reply);
    else still.push(next);
  }
  draft.pending = [...still, ...draft.pending];
}

function settle(draft: Draft, request: Pending): [Pending, Reply | undefined] {
  const entries = request.services.flatMap((name) => draft.entry(name) ?? []);
  const done: Reply = { ok: true, message: request.said };
  switch (request.kind) {
    case "start":
    case "restart": {
      // What waits for its turn in `after` may wait for ever: that is not this request's end.
      const instances = entries.flatMap((entry) =>
        entry.instances.filter((_, index) => !entry.waiting.includes(index))
      );
      if (instances.some((i) => i.kind === "spawning" || i.kind === "stopping")) {
        return [request, undefined];
      }
      // Each was tried. One that ended well at once did its work; one that could not be spawned did not.
      const failed = instances.find((i) => !isLive(i) && i.kind !== "stopped");
      return [request, failed === undefined ? done : notStarted(request, failed)];
    }
    case "stop":
    case "shutdown":
      return [request, entries.some((e) => e.instances.some(isActive)) ? undefined : done];
    case "apply":
      // Only what the new set has no room for is waited for; starting takes as long as it takes.
      return [request, entries.some(hasExtra) ? undefined : done];
    case "reload":
      return roll(draft, request);
    default:
      return assertNever(request.kind);
  }
}

function roll(draft: Draft, request: Pending): [Pending, Reply | undefined] {
  let { left, at } = request.roll!;
  for (;;) {
    if (at !== undefined) {
      const instance = draft.entry(at.service)?.instances[at.index];
      if (instance !== undefined && instance.generation > at.old) {
        if (instance.kind === "running") at = undefined;
        else if (!isActive(instance) || instance.kind === "unhealthy") {
          return [request, notStarted(request, instance)];
        }
      } else if (instance === undefined || !isActive(instance)) {
        at = undefined;
      }
      if (at !== undefined) return [{ ...request, roll: { left, at } }, undefined];
    }
    const next = left[0];
    if (next === undefined) return [request, { ok: true, message: request.said }];
    left = left.slice(1);
    const instance = draft.entry(next.service)?.instances[next.index];
    if (instance === undefined || !isLive(instance)) continue;
    at = { ...next, old: instance.generation };
    draft.move(next, { kind: "restart" });
  }
}

function defined(draft: Draft): string[] {
  const entries = [...draft.services.values()].filter((entry) => !entry.removing);
  return startOrder(entries.map((entry) => entry.spec)).map((spec) => spec.name);
}

function isComingOrHere(entry: ServiceEntry): boolean {
  return entry.waiting.length > 0 ||
    entry.instances.some((instance) => isActive(instance) || instance.kind === "backoff");
}

function hasExtra(entry: ServiceEntry): boolean {
  const room = entry.removing ? 0 : entry.spec.instances;
  return entry.instances.slice(room).some(isActive);
}

function refused(
  code: "service_not_found" | "service_already_running" | "service_not_running",
  message: string,
): Reply {
  return { ok: false, code, message };
}

function notStarted(request: Pending, instance: Instance): Reply {
  return {
    ok: false,
    code: "exec_failed",
    message: `The ${request.kind} of ${listed(request.services)} ${
      instance.kind === "unhealthy"
        ? "stopped at a new process that is unhealthy"
        : `did not bring a process to life: ${instance.kind}`
    }, ${instance.text ?? "without a word"}`,
  };
}

function counts(entry: ServiceEntry): string {
  const active = entry.instances.filter(isActive).length;
  return `${active} of ${entry.instances.length} instances`;
}

function listed(names: readonly string[]): string {
  const quoted = names.map((name) => `"${name}"`);
  return names.length === 1 ? `service ${quoted[0]}` : `services ${quoted.join(", ")}`;
}
