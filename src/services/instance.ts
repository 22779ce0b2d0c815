/**
 * One supervised process as a state machine: pure, the clock is a value, processes and timers are
 * effects that somebody else carries out.
 *
 *   stopped ──start──▶ spawning ──spawned──▶ starting ──healthy──▶ running ◀──▶ unhealthy
 *      ▲                  │ failed               │ exit                │ exit       │ exit
 *      │                  ▼                      ▼                     ▼            ▼
 *      │               (policy) ── again ──▶ backoff ──timer──▶ spawning
 *      │                  ├─ not again ──▶ stopped (exit 0) or crashed
 *      │                  └─ too often ──▶ fatal
 *   stopping ◀── stop or restart, from any state with a process; TERM, then KILL
 *
 * Every process is a generation. News of another generation than the present one is ignored, so a
 * child that ends late can never move its successor (CTR-D004). A pid is part of the state exactly
 * while starting, running or unhealthy (CTR-D003); while stopping the process is known to the
 * interpreter by its generation only. `spawning` lasts from an effect to its answer and is not seen
 * from outside, because spawning does not wait.
 */
import { assertNever } from "../base/assert_never.ts";
import { backOffMs } from "../base/schedule.ts";
import type { ServiceSpec } from "../protocol/services.ts";

/** Without a health check, a process that lived this long has started. */
export const START_GRACE_MS = 500;
/** Between checks while starting, so that a long interval does not delay "running". */
const STARTING_CHECK_MS = 1000;
/** From KILL to the admission that it does not help. */
export const STUCK_MS = 5000;

interface Common {
  /** Of the last process here; only grows, also over instances that were in this place before. */
  readonly generation: number;
  /** When automatic restarts happened, on the monotonic clock; those within the span count. */
  readonly restartsAt: readonly number[];
  /** Automatic restarts in a row without `min_uptime`: the place in the back-off. */
  readonly attempt: number;
  /** How the last process ended, in words; absent before the first end. */
  readonly text?: string;
}

interface Live extends Common {
  readonly pid: number;
  /** Wall clock, for people; never changed while the process lives (INV-D002). */
  readonly startedAt: string;
  readonly startedMs: number;
  /** Checks in a row. */
  readonly good: number;
  readonly bad: number;
  readonly adopted: boolean;
}

export type Instance =
  | (Common & { readonly kind: "stopped" | "crashed" | "fatal" | "spawning" })
  | (Common & { readonly kind: "backoff"; readonly untilMs: number })
  | (Live & { readonly kind: "starting" | "running" | "unhealthy" })
  | (Common & {
    readonly kind: "stopping";
    readonly next: "stopped" | "start";
    readonly killed: boolean;
  });

export type LiveInstance = Extract<Instance, { readonly pid: number }>;
export type TimerName = "grace" | "check" | "backoff" | "kill";

export type InstanceEvent =
  | { readonly kind: "start" }
  | { readonly kind: "stop" }
  | { readonly kind: "restart" }
  /** The spec changed in a way that the process need not know. */
  | { readonly kind: "respec" }
  | { readonly kind: "spawned"; readonly generation: number; readonly pid: number }
  | { readonly kind: "spawn_failed"; readonly generation: number; readonly text: string }
  | {
    readonly kind: "exited";
    readonly generation: number;
    readonly code?: number;
    readonly signal?: string;
  }
  | {
    readonly kind: "checked";
    readonly generation: number;
    readonly ok: boolean;
    readonly text?: string;
  }
  | { readonly kind: "timer"; readonly timer: TimerName; readonly generation: number }
  /** The agent restarted and found the process again. */
  | {
    readonly kind: "adopted";
    readonly generation: number;
    readonly pid: number;
    readonly startedAt: string;
    readonly startedMs: number;
  };

export type InstanceEffect =
  | { readonly kind: "spawn"; readonly generation: number }
  | { readonly kind: "signal"; readonly generation: number; readonly signal: string }
  | { readonly kind: "check"; readonly generation: number }
  | {
    readonly kind: "timer";
    readonly timer: TimerName;
    readonly generation: number;
    readonly ms: number;
  }
  /** KILL did not end it: a process in the kernel's hands. */
  | { readonly kind: "stuck"; readonly generation: number };

export interface Now {
  readonly monotonicMs: number;
  readonly wall: string;
}

export type InstanceStep = readonly [Instance, readonly InstanceEffect[]];

export const NEW_INSTANCE: Instance = {
  kind: "stopped",
  generation: 0,
  restartsAt: [],
  attempt: 0,
};

export function isLive(instance: Instance): instance is LiveInstance {
  return instance.kind === "starting" || instance.kind === "running" ||
    instance.kind === "unhealthy";
}

/** There is, or is about to be, a process. */
export function isActive(instance: Instance): boolean {
  return isLive(instance) || instance.kind === "spawning" || instance.kind === "stopping";
}

export function stepInstance(
  state: Instance,
  event: InstanceEvent,
  spec: ServiceSpec,
  now: Now,
): InstanceStep {
  switch (event.kind) {
    case "start":
      return isActive(state) ? [state, []] : spawn({ ...forget(state), text: state.text });
    case "stop":
      return stop(state, spec, "stopped");
    case "restart":
      return isActive(state) ? stop(state, spec, "start") : spawn(forget(state));
    case "respec":
      if (!isLive(state)) return [state, []];
      return spec.health.kind === "none"
        ? [{ ...state, kind: "running", good: 0, bad: 0 }, []]
        : [{ ...state, good: 0, bad: 0 }, [{ kind: "check", generation: state.generation }]];
    case "adopted":
      if (isActive(state)) return [state, []];
      return settleIn({ ...common(state), ...event, kind: "starting" }, spec, true);
  }
  if (event.generation !== state.generation) return [state, []];
  switch (event.kind) {
    case "spawned":
      if (state.kind === "stopping") {
        // Asked to stop in the same breath: the process is there now, so it can be told.
        return [state, endEffects(state.generation, spec)];
      }
      if (state.kind !== "spawning") return [state, []];
      return settleIn(
        {
          ...common(state),
          kind: "starting",
          pid: event.pid,
          startedAt: now.wall,
          startedMs: now.monotonicMs,
        },
        spec,
        false,
      );
    case "spawn_failed":
      if (state.kind === "stopping") return ended(state, event.text);
      if (state.kind !== "spawning") return [state, []];
      return again(common(state), { failed: true, text: event.text, uptimeMs: 0 }, spec, now);
    case "exited": {
      const text = exitText(event);
      if (state.kind === "stopping") return ended(state, text);
      if (!isLive(state)) return [state, []];
      const failed = event.signal !== undefined || event.code !== 0;
      const uptimeMs = now.monotonicMs - state.startedMs;
      return again(common(state), { failed, text, uptimeMs }, spec, now);
    }
    case "checked":
      return isLive(state) ? checked(state, event, spec, now) : [state, []];
    case "timer":
      return timer(state, event.timer, spec, now);
    default:
      return assertNever(event);
  }
}

function common(state: Instance): Common {
  const { generation, restartsAt, attempt, text } = state;
  return { generation, restartsAt, attempt, ...(text === undefined ? {} : { text }) };
}

/** A start by hand begins with a clean slate: the limiter counts automatic restarts only. */
function forget(state: Instance): Common {
  return { generation: state.generation, restartsAt: [], attempt: 0 };
}

function spawn(state: Common): InstanceStep {
  const generation = state.generation + 1;
  return [{ ...state, kind: "spawning", generation }, [{ kind: "spawn", generation }]];
}

function settleIn(
  born: Common & Pick<Live, "pid" | "startedAt" | "startedMs"> & { kind: "starting" },
  spec: ServiceSpec,
  adopted: boolean,
): InstanceStep {
  const { generation, restartsAt, attempt, pid, startedAt, startedMs } = born;
  const state: Instance = {
    ...{ kind: "starting", generation, restartsAt, attempt, pid, startedAt, startedMs },
    ...{ good: 0, bad: 0, adopted },
  };
  if (spec.health.kind === "none") {
    return [state, [{ kind: "timer", timer: "grace", generation, ms: START_GRACE_MS }]];
  }
  return [state, [{ kind: "check", generation }]];
}

function stop(state: Instance, spec: ServiceSpec, next: "stopped" | "start"): InstanceStep {
  switch (state.kind) {
    case "stopped":
    case "crashed":
    case "fatal":
      return [state, []];
    case "backoff":
      return [{ ...common(state), kind: "stopped" }, []];
    case "stopping":
      return [{ ...state, next }, []];
    case "spawning":
      return [{ ...common(state), kind: "stopping", next, killed: false }, []];
    case "starting":
    case "running":
    case "unhealthy":
      return [
        { ...common(state), kind: "stopping", next, killed: false },
        endEffects(state.generation, spec),
      ];
    default:
      return assertNever(state);
  }
}

function endEffects(generation: number, spec: ServiceSpec): InstanceEffect[] {
  return [
    { kind: "signal", generation, signal: spec.shutdown.signal },
    { kind: "timer", timer: "kill", generation, ms: spec.shutdown.timeoutMs },
  ];
}

/** The process that was being stopped is gone. */
function ended(
  state: Extract<Instance, { kind: "stopping" }>,
  text: string,
): InstanceStep {
  const rest = { ...forget(state), text: state.killed ? `${text}, after KILL` : text };
  return state.next === "start" ? spawn(rest) : [{ ...rest, kind: "stopped" }, []];
}

/** A process ended by itself, or never began: what its policy says. */
function again(
  state: Common,
  end: { readonly failed: boolean; readonly text: string; readonly uptimeMs: number },
  spec: ServiceSpec,
  now: Now,
): InstanceStep {
  const { policy, max, withinMs, minUptimeMs, backoff, firstMs, maxMs } = spec.restart;
  const rest = { ...state, text: end.text };
  if (policy === "no" || (policy === "on-failure" && !end.failed)) {
    return [{ ...rest, kind: end.failed ? "crashed" : "stopped" }, []];
  }
  const restartsAt = state.restartsAt.filter((at) => now.monotonicMs - at < withinMs);
  if (restartsAt.length >= max) {
    const text = `${end.text}; restarted ${max} times within ${withinMs / 1000} s`;
    return [{ ...rest, restartsAt, text, kind: "fatal" }, []];
  }
  const attempt = end.uptimeMs >= minUptimeMs ? 1 : state.attempt + 1;
  const ms = backOffMs({ kind: backoff, firstMs, maxMs }, attempt);
  const { generation } = state;
  return [
    { ...rest, restartsAt, attempt, kind: "backoff", untilMs: now.monotonicMs + ms },
    [{ kind: "timer", timer: "backoff", generation, ms }],
  ];
}

function checked(
  state: LiveInstance,
  event: { readonly ok: boolean; readonly text?: string },
  spec: ServiceSpec,
  now: Now,
): InstanceStep {
  if (spec.health.kind === "none") return [state, []];
  const { intervalMs, healthy, unhealthy } = spec.health;
  // A start is looked at more often than asked for, which must not leave it less time to come up.
  const hadItsTime = state.kind !== "starting" ||
    now.monotonicMs - state.startedMs >= unhealthy * intervalMs;
  const good = event.ok ? state.good + 1 : 0;
  const bad = event.ok ? 0 : state.bad + 1;
  const kind = good >= healthy
    ? "running"
    : bad >= unhealthy && hadItsTime
    ? "unhealthy"
    : state.kind;
  const { text: _text, ...rest } = state;
  const text = kind === "running" ? undefined : event.text ?? state.text;
  const ms = kind === "running" ? intervalMs : Math.min(intervalMs, STARTING_CHECK_MS);
  return [
    { ...rest, kind, good, bad, ...(text === undefined ? {} : { text }) },
    [{ kind: "timer", timer: "check", generation: state.generation, ms }],
  ];
}

function timer(state: Instance, name: TimerName, spec: ServiceSpec, now: Now): InstanceStep {
  const { generation } = state;
  switch (name) {
    case "grace":
      if (state.kind !== "starting" || spec.health.kind !== "none") return [state, []];
      return [{ ...state, kind: "running" }, []];
    case "check":
      if (!isLive(state)) return [state, []];
      return spec.health.kind === "none"
        ? [{ ...state, kind: "running" }, []]
        : [state, [{ kind: "check", generation }]];
    case "backoff": {
      if (state.kind !== "backoff") return [state, []];
      const restartsAt = [...state.restartsAt, now.monotonicMs];
      return spawn({ ...common(state), restartsAt });
    }
    case "kill":
      if (state.kind !== "stopping") return [state, []];
      return [{ ...state, killed: true }, [
        { kind: "signal", generation, signal: "KILL" },
        ...(state.killed ? [{ kind: "stuck", generation } as const] : []),
        { kind: "timer", timer: "kill", generation, ms: STUCK_MS },
      ]];
    default:
      return assertNever(name);
  }
}

function exitText(event: { readonly code?: number; readonly signal?: string }): string {
  return event.signal === undefined
    ? `exited with ${event.code ?? "?"}`
    : `ended by ${event.signal}`;
}
