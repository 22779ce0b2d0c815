/**
 * A machine without a hypervisor: ports that record what was asked of them and end when the test says
 * so, and a clock that the test turns. Everything held checks that it was asked for.
 */
import assert from "node:assert/strict";
import type { Clock } from "../../src/base/clock.ts";
import type { Ports, WorkContext } from "../../src/machine/effects.ts";
import type { WorkKind } from "../../src/machine/events.ts";
import type { RecordPatch } from "../../src/machine/record.ts";

export interface FakeClock extends Clock {
  /** Turns it on; what became due ends in order. */
  advance(ms: number): Promise<void>;
  readonly sleepers: number;
}

export function fakeClock(): FakeClock {
  let at = 0;
  let sleepers: { due: number; wake: () => void }[] = [];
  return {
    now: () => new Date(Date.UTC(2026, 0, 1) + at),
    monotonicMs: () => at,
    sleep(ms, { signal } = {}) {
      return new Promise((resolve, reject) => {
        if (signal?.aborted) return reject(signal.reason);
        const sleeper = {
          due: at + ms,
          wake() {
            signal?.removeEventListener("abort", onAbort);
            resolve();
          },
        };
        const onAbort = () => {
          sleepers = sleepers.filter((s) => s !== sleeper);
          reject(signal!.reason);
        };
        signal?.addEventListener("abort", onAbort, { once: true });
        sleepers.push(sleeper);
      });
    },
    async advance(ms) {
      at += ms;
      const due = sleepers.filter((s) => s.due <= at).sort((a, b) => a.due - b.due);
      sleepers = sleepers.filter((s) => s.due > at);
      for (const sleeper of due) sleeper.wake();
      await quiet();
    },
    get sleepers() {
      return sleepers.length;
    },
  };
}

/** Lets every promise that can go on go on; no time passes. */
export async function quiet(): Promise<void> {
  for (let i = 0; i < 60; i++) await Promise.resolve();
}

export interface FakePorts extends Ports {
  /** Every call, in order: `launch op-1`. */
  readonly calls: string[];
  readonly saves: RecordPatch[];
  /** The next call of that work stays open until the test ends it. */
  hold(work: WorkKind | "stop_services"): Held;
  /** The next call of that work fails. */
  fail(work: WorkKind | "save", error: Error): void;
}

export interface Held {
  readonly context: () => WorkContext;
  end(result?: unknown): Promise<void>;
  fail(error: Error): Promise<void>;
}

const RESULTS: Partial<Record<WorkKind | "stop_services", unknown>> = {
  gather: { disk: "new" },
  launch: { qemu: { pid: 7, start_time: 8 } },
  greet: { boot_id: "boot-1", first_boot_done: false, version: "1", scripts: {} },
  provision: { scripts: { system: "hash" } },
  await_ready: { ready: true },
  apply: { applied: [], needs: [] },
  shut_down: { off: true },
  wipe: { left: "nothing" },
};

export function fakePorts(): FakePorts {
  const calls: string[] = [];
  const saves: RecordPatch[] = [];
  const gates = new Map<string, { asked: WorkContext[]; gate: PromiseWithResolvers<unknown> }>();
  const failures = new Map<string, Error>();
  const call = (work: WorkKind | "stop_services") => async (context: WorkContext) => {
    calls.push(`${work} ${context.operation}`);
    const failure = failures.get(work);
    failures.delete(work);
    if (failure !== undefined) throw failure;
    const held = gates.get(work);
    if (held === undefined) return RESULTS[work] as never;
    gates.delete(work);
    held.asked.push(context);
    context.signal.addEventListener("abort", () => held.gate.reject(context.signal.reason), {
      once: true,
    });
    return await held.gate.promise as never;
  };
  return {
    calls,
    saves,
    preparer: {
      gather: call("gather"),
      publish: call("publish"),
      discard: call("discard"),
      wipe: call("wipe"),
      remove: call("remove"),
    },
    hypervisor: {
      launch: call("launch"),
      shutDown: call("shut_down"),
      forceOff: call("force_off"),
      pause: call("pause"),
      resume: call("resume"),
    },
    guest: {
      greet: call("greet"),
      provision: call("provision"),
      awaitReady: call("await_ready"),
      applyChanges: call("apply"),
      restore: call("restore"),
      stopServices: call("stop_services"),
    },
    recorder: {
      save(patch) {
        const failure = failures.get("save");
        failures.delete("save");
        if (failure !== undefined) return Promise.reject(failure);
        saves.push(patch);
        return Promise.resolve();
      },
    },
    hold(work) {
      const gate = Promise.withResolvers<unknown>();
      gate.promise.catch(() => {});
      const asked: WorkContext[] = [];
      gates.set(work, { asked, gate });
      const context = () => {
        assert.equal(asked.length, 1, `"${work}" was asked for once`);
        return asked[0];
      };
      return {
        context,
        async end(result = RESULTS[work] ?? {}) {
          context();
          gate.resolve(result);
          await quiet();
        },
        async fail(error) {
          context();
          gate.reject(error);
          await quiet();
        },
      };
    },
    fail: (work, error) => void failures.set(work, error),
  };
}
