/**
 * The cell that holds a machine's state: one writer, any number of readers, none of whom waits. What
 * a reader gets is frozen to the bottom and carries a revision, so that it can wait for a newer one
 * and can never change what the writer decides from.
 */
import type { Clock } from "../base/clock.ts";
import type { MachineState } from "./state.ts";
import { operationOf } from "./step.ts";

export interface Snapshot {
  /** Grows by one with every change. */
  readonly revision: number;
  /** When it came to be so. */
  readonly at: string;
  readonly state: MachineState;
  /** What is under way, since when. */
  readonly operation?: { readonly id: string; readonly kind: string; readonly since: string };
}

export interface StateCell {
  get(): Snapshot;
  /** Returns whether anything changed; the same object is no change. */
  set(state: MachineState): boolean;
  /** The first snapshot past `after`; at once when there is one already. */
  changed(after: number, options?: { signal?: AbortSignal }): Promise<Snapshot>;
}

export function createStateCell(initial: MachineState, clock: Clock): StateCell {
  let current = snapshotOf(initial, undefined);
  let watchers: { after: number; resolve: (s: Snapshot) => void }[] = [];

  function snapshotOf(state: MachineState, before: Snapshot | undefined): Snapshot {
    const at = clock.now().toISOString();
    const operation = operationOf(state);
    const since = operation !== undefined && before?.operation?.id === operation.id
      ? before.operation.since
      : at;
    return deepFreeze({
      revision: (before?.revision ?? 0) + 1,
      at,
      state,
      ...(operation === undefined ? {} : { operation: { ...operation, since } }),
    });
  }

  return {
    get: () => current,
    set(state) {
      if (state === current.state) return false;
      current = snapshotOf(state, current);
      const due = watchers.filter((w) => w.after < current.revision);
      watchers = watchers.filter((w) => w.after >= current.revision);
      for (const watcher of due) watcher.resolve(current);
      return true;
    },
    changed(after, { signal } = {}) {
      if (signal?.aborted) return Promise.reject(signal.reason);
      if (current.revision > after) return Promise.resolve(current);
      return new Promise((resolve, reject) => {
        const onAbort = () => {
          watchers = watchers.filter((w) => w !== watcher);
          reject(signal!.reason);
        };
        const watcher = {
          after,
          resolve(snapshot: Snapshot) {
            signal?.removeEventListener("abort", onAbort);
            resolve(snapshot);
          },
        };
        signal?.addEventListener("abort", onAbort, { once: true });
        watchers.push(watcher);
      });
    },
  };
}

function deepFreeze<T>(value: T): T {
  if (typeof value === "object" && value !== null && !Object.isFrozen(value)) {
    for (const inner of Object.values(value)) deepFreeze(inner);
    Object.freeze(value);
  }
  return value;
}
