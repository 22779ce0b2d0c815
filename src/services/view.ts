/** What the outside sees of the supervisor: one view per instance (`service ls`, `status`). */
import type { InstanceView } from "../protocol/services.ts";
import type { ServiceEntry, Supervisor } from "./draft.ts";
import { type Instance, isLive, type Now } from "./instance.ts";

/** `now` only for uptimes and waits. */
export function viewInstances(state: Supervisor, now: Now): InstanceView[] {
  return [...state.services].flatMap(([service, entry]) =>
    entry.instances.map((instance, index) => view(service, entry, instance, index, now))
  );
}

function view(
  service: string,
  entry: ServiceEntry,
  instance: Instance,
  index: number,
  now: Now,
): InstanceView {
  const waiting = entry.waiting.includes(index);
  const waits = waiting && entry.spec.after.length > 0
    ? `waits for ${entry.spec.after.join(", ")}`
    : undefined;
  const text = waits ?? instance.text;
  const { withinMs } = entry.spec.restart;
  return {
    service,
    index,
    generation: instance.generation,
    // Without a process yet, and "starting" has one (CTR-D003).
    state: instance.kind === "spawning" ? "stopped" : instance.kind,
    restarts: instance.restartsAt.filter((at) => now.monotonicMs - at < withinMs).length,
    ...(isLive(instance)
      ? {
        pid: instance.pid,
        startedAt: instance.startedAt,
        uptimeMs: now.monotonicMs - instance.startedMs,
        ...(instance.adopted ? { adopted: true } : {}),
      }
      : {}),
    ...(instance.kind === "backoff"
      ? { retryInMs: Math.max(0, instance.untilMs - now.monotonicMs) }
      : {}),
    ...(waiting || instance.kind === "spawning" ? { due: true } : {}),
    ...(text === undefined ? {} : { text }),
  };
}
