/**
 * The life of a machine, as one pure function.
 *
 *                        up                        gathered            published
 *   Absent ─────────────────────▶ Preparing:gathering ──▶ :publishing ──▶ Starting:launching
 *   Stopped ────────────────────▶     │                       │               │ launched
 *      ▲  ▲                           │ interrupt: remove what was made       ▼
 *      │  │                           ▼                               Starting:greeting ◀─┐
 *      │  └──────────────── Stopping:discarding                              │ hello      │ reboot
 *      │                                                                     ▼            │
 *      │   Stopping:graceful ──▶ :forcing                      Provisioning:scripts ──▶ :settling
 *      │      ▲                      │                                       │ all passed
 *      ├──────┴──────────────────────┘                         Provisioning:readying
 *      │                             ▼ wiped                                 │ [ready]
 *      └──────── Failed ◀──┐  Stopping:wiping ──▶ Over                       ▼
 *           up ──▶         └── a script failed, no agent, …            Running ◀──▶ Paused
 *
 *   from anywhere: destroy ──▶ Destroying:cancelling ──▶ :forcing ──▶ :removing ──▶ Over
 *                  release ──▶ Over (the machine runs on; waits for a stop that has begun)
 *
 * | phase                          | owner interrupts           | down            | destroy  | goes off by itself     |
 * |--------------------------------|----------------------------|-----------------|----------|------------------------|
 * | Preparing                      | cancel, remove what it made| cancel, Stopped | ▶ remove | -                      |
 * | Starting, Provisioning, first  | force off, wipe, Over      | stop, keep      | ▶ remove | Failed                 |
 * | Starting, Provisioning, other  | stop, keep                 | stop, keep      | ▶ remove | Failed, or back-off    |
 * | Running, Paused, attached      | ACPI, then off             | stop, keep      | ▶ remove | Stopped, Failed, back-off |
 * | Running, Paused, detached      | leave                      | stop, keep      | ▶ remove | the same               |
 * | Failed                         | leave                      | stop, keep      | ▶ remove | Failed, off            |
 * | Stopping                       | force (whoever asked)      | joins; -f forces| ▶ remove | goes on                |
 * | Destroying                     | -                          | -               | -        | goes on                |
 *
 * What it promises, each with a test:
 *  - A wipe follows only from an interrupt by the client whose own `up` made this disk, and only
 *    before any script failed, any time-out struck or any daemon restarted (`interrupt.ts`).
 *  - One piece of work at a time. What pre-empts calls it off and waits for its end before it begins
 *    anything of its own, so no clean-up races with a successor.
 *  - The record of a phase is written before that phase's work begins; the first-boot fact before the
 *    disk is visible, and when that cannot be written the disk does not become visible.
 *  - `Over` is final: no event leads out of it and none has an effect.
 *
 * What it does not do: queue (`run.ts`), refuse (`admit.ts`), answer (`settle.ts`), keep time. An
 * event that means nothing in a phase (news of work that was called off, a fact that is known
 * already) leaves the state as it is, the same object.
 */
import { assertNever } from "../base/assert_never.ts";
import type { Effect, SavePatch } from "./effects.ts";
import type { Event } from "./events.ts";
import { type Move, type Rules, stay } from "./moves.ts";
import { stepPreparing, stepProvisioning, stepStarting } from "./step_boot.ts";
import { stepDestroying, stepStopping } from "./step_end.ts";
import { stepFailed, stepPaused, stepRunning } from "./step_live.ts";
import { stepAtRest, stepRequest } from "./step_request.ts";
import { describePhase, firstBootOf, type MachineState, ownerOf } from "./state.ts";

export const DEFAULT_RULES: Rules = Object.freeze({ onCrash: "none" });

export function step(state: MachineState, event: Event, rules: Rules = DEFAULT_RULES): Move {
  if (state.kind === "over") return [state, []];
  const [next, effects] = dispatch(state, event, rules);
  return next === state && effects.length === 0 ? [state, effects] : complete(state, next, effects);
}

function dispatch(state: MachineState, event: Event, rules: Rules): Move {
  switch (event.kind) {
    case "up":
    case "interrupt":
    case "down":
    case "destroy":
    case "restart":
    case "pause":
    case "resume":
    case "provision":
    case "release":
    case "take_up":
      return stepRequest(state, event, rules);
    default:
      break;
  }
  switch (state.kind) {
    case "absent":
    case "stopped":
      return stepAtRest(state, event);
    case "failed":
      return event.kind === "on_seen" ? stepAtRest(state, event) : stepFailed(state, event);
    case "preparing":
      return stepPreparing(state, event);
    case "starting":
      return stepStarting(state, event, rules);
    case "provisioning":
      return stepProvisioning(state, event, rules);
    case "running":
      return stepRunning(state, event, rules);
    case "paused":
      return stepPaused(state, event, rules);
    case "stopping":
      return stepStopping(state, event);
    case "destroying":
      return stepDestroying(state, event);
    case "stuck":
    case "over":
      return stay(state);
    default:
      return assertNever(state, "phase");
  }
}

/** The record first, then who follows is told (what happened, then what it led to), then the work. */
function complete(before: MachineState, after: MachineState, effects: readonly Effect[]): Move {
  const moved = describePhase(before) !== describePhase(after);
  // A machine on its way out keeps the fact that is on record: it may get stuck half-way.
  const leaving = after.kind === "destroying" || after.kind === "stuck";
  const factMoved = !leaving &&
    JSON.stringify(firstBootOf(before)) !== JSON.stringify(firstBootOf(after));
  if (after.kind === "over" || (!moved && !factMoved)) {
    return moved ? [after, [...effects, phaseEvent(before, after)]] : [after, effects];
  }
  // One write, also where the move brought something of its own to record.
  const own = effects.filter((e) => e.kind === "save");
  const rest = effects.filter((e) => e.kind !== "save");
  const patch: SavePatch = Object.assign(recordOf(after, factMoved), ...own.map((e) => e.patch));
  const barrier = rest.some((e) => e.kind === "work" && e.work === "publish");
  return [after, [
    { kind: "save", patch, barrier },
    ...rest.filter((e) => e.kind === "emit"),
    ...(moved ? [phaseEvent(before, after)] : []),
    ...rest.filter((e) => e.kind !== "emit"),
  ]];
}

function recordOf(state: MachineState, factMoved: boolean): SavePatch {
  const fact = firstBootOf(state);
  const desired = desiredOf(state);
  const operation = operationOf(state);
  const cause = state.kind === "failed" || state.kind === "stuck" ? state.cause : undefined;
  const { code, message, hint } = cause ?? {};
  return {
    phase: {
      kind: state.kind,
      text: describePhase(state),
      ...(code === undefined || message === undefined ? {} : { cause: { code, message, hint } }),
    },
    ...(factMoved ? { first_boot: fact.kind === "done" ? { ...fact, scripts: {} } : fact } : {}),
    ...(desired === undefined ? {} : { desired }),
    operation: operation ?? null,
  };
}

function desiredOf(state: MachineState): SavePatch["desired"] {
  switch (state.kind) {
    case "preparing":
    case "starting":
    case "provisioning":
    case "running":
      return "running";
    case "stopping":
      return state.goal.kind === "stopped" || state.goal.kind === "wiped" ? "stopped" : "running";
    case "destroying":
      return "destroyed";
    default:
      return undefined;
  }
}

/** What is under way, for the record and for `busy`. */
export function operationOf(state: MachineState): { id: string; kind: string } | undefined {
  switch (state.kind) {
    case "preparing":
    case "starting":
    case "provisioning":
      return { id: state.run.operation, kind: state.run.why === "found" ? "up" : state.run.why };
    case "running":
    case "paused":
      return state.task === undefined
        ? undefined
        : { id: state.task.operation, kind: TASK_NAMES[state.task.work] };
    case "stopping":
      return { id: state.operation, kind: state.goal.kind === "start" ? "restart" : "down" };
    case "destroying":
      return { id: state.operation, kind: "destroy" };
    default:
      return undefined;
  }
}

const TASK_NAMES = {
  apply: "up",
  await_ready: "up",
  reprovision: "provision",
  restore: "restore",
  pause: "pause",
  resume: "resume",
} as const;

function phaseEvent(before: MachineState, after: MachineState): Effect {
  const stage = "stage" in after ? after.stage : undefined;
  const cause = after.kind === "failed" || after.kind === "stuck" ? after.cause : undefined;
  return {
    kind: "emit",
    event: {
      kind: "phase",
      phase: after.kind,
      from: before.kind,
      text: describePhase(after),
      ...(stage === undefined ? {} : { stage }),
      owner: ownerOf(after).kind,
      first_boot: firstBootOf(after).kind,
      ...("ready" in after ? { ready: after.ready.kind === "ready" } : {}),
      ...(cause === undefined ? {} : {
        cause: {
          code: cause.code,
          message: cause.message,
          ...(cause.hint === undefined ? {} : { hint: cause.hint }),
        },
      }),
    },
  };
}
