/**
 * What requests do to each phase, once `admit.ts` has let them through, and what happens to a machine
 * at rest. A request that means nothing here leaves the state as it is.
 */
import { assertNever } from "../base/assert_never.ts";
import type { Event, Request, TakeUp } from "./events.ts";
import { verdictOf } from "./interrupt.ts";
import {
  beginDestroy,
  beginGreeting,
  beginLaunch,
  beginRun,
  beginStop,
  beginTask,
  cancel,
  detachOwner,
  emit,
  failed,
  type Move,
  type Rules,
  stay,
} from "./moves.ts";
import {
  DETACHED,
  type Failed,
  firstBootOf,
  isWorking,
  type MachineState,
  NO_CRASHES,
  type Owner,
  ownerOf,
  type ResetScope,
  type Run,
} from "./state.ts";

type Asked = (Request | TakeUp) & { readonly at: number };

export function stepRequest(state: MachineState, event: Asked, rules: Rules): Move {
  switch (event.kind) {
    case "up":
      return up(state, event, rules);
    case "interrupt":
      return interrupt(state, event, rules);
    case "down":
      return down(state, event);
    case "destroy":
      return isDestroying(state) ? stay(state) : beginDestroy(state, event.operation);
    case "restart":
      return restart(state, event);
    case "pause":
    case "resume":
    case "provision":
      return ask(state, event);
    case "release":
      return stay(
        { kind: "over", how: "released" },
        ...(isWorking(state) ? [cancel("released")] : []),
      );
    case "take_up":
      if (event.what === "destroy") {
        return isDestroying(state) ? stay(state) : beginDestroy(state, event.operation);
      }
      return stepAtRest(state, { kind: "on_seen", operation: event.operation, at: event.at });
    default:
      return assertNever(event, "request");
  }
}

/** Nothing of ours runs; somebody else may have switched it on. */
export function stepAtRest(state: MachineState, event: Event): Move {
  if (event.kind !== "on_seen") return stay(state);
  if (state.kind !== "stopped" && !(state.kind === "failed" && state.power === "off")) {
    return stay(state);
  }
  if (isWorking(state)) return stay(state);
  const run: Run = { ...newRun(event.operation, DETACHED), why: "found" };
  // It runs, so it has a disk, whatever the record says: unknown counts as done.
  const fact = firstBootOf(state);
  return beginGreeting(run, fact.kind === "not_begun" ? { kind: "done" } : fact);
}

function newRun(operation: string, owner: Owner): Run {
  return { operation, owner, why: "up", crashes: NO_CRASHES, reboots: 0, losses: 0 };
}

function isDestroying(state: MachineState): boolean {
  return state.kind === "destroying" || state.kind === "over";
}

function up(state: MachineState, event: Asked & { kind: "up" }, rules: Rules): Move {
  const { operation, client, reset, at } = event;
  const owner: Owner = {
    kind: "attached",
    client,
    operation,
    until: event.detach ? "ready" : "interrupt",
  };
  const run = newRun(operation, owner);
  switch (state.kind) {
    case "absent":
    case "stopped":
      return beginRun(run, firstBootOf(state), reset);
    case "failed":
      if (state.cleaning) return stay(state);
      if (state.power === "off") return beginRun(run, state.first_boot, reset);
      return reset === undefined
        ? beginLaunch(run, state.first_boot)
        : stopThenStart(state, run, reset, { at, timeoutMs: stopMs(rules) });
    case "preparing":
    case "starting":
    case "provisioning":
      return event.attach ? takeOwnership(state, owner) : stay(state);
    case "running":
    case "paused": {
      if (state.task !== undefined) return stay(state);
      if (reset !== undefined) {
        return stopThenStart(state, run, reset, { at, timeoutMs: stopMs(rules) });
      }
      const [owned, told] = event.attach ? takeOwnership(state, owner) : stay(state);
      if (owned.kind !== "running" && owned.kind !== "paused") return stay(state);
      const [next, effects] = owned.kind === "running"
        ? beginTask(owned, { work: "apply", operation, client, cancelled: false })
        : beginTask(owned, {
          work: "resume",
          operation,
          client,
          cancelled: false,
          then: "apply",
        });
      return [next, [...told, ...effects]];
    }
    case "stopping":
    case "destroying":
    case "stuck":
    case "over":
      return stay(state);
    default:
      return assertNever(state, "phase");
  }
}

function stopMs(rules: Rules): number {
  return rules.shutdownTimeoutMs ?? 60_000;
}

function stopThenStart(
  state: MachineState,
  run: Run,
  reset: ResetScope,
  { at, timeoutMs }: { at: number; timeoutMs: number },
): Move {
  const by = run.owner.kind === "attached" ? run.owner.client : undefined;
  return beginStop(state, {
    operation: run.operation,
    ...(by === undefined ? {} : { by }),
    goal: { kind: "start", run, reset },
    how: "graceful",
    timeoutMs,
    why: "up --reset",
    at,
  });
}

function takeOwnership(state: MachineState, owner: Owner & { kind: "attached" }): Move {
  const told = emit({ kind: "owner", state: "attached", client: owner.client, why: "attach" });
  switch (state.kind) {
    case "preparing":
    case "starting":
    case "provisioning":
      return stay({ ...state, run: { ...state.run, owner } }, told);
    case "running":
    case "paused":
      return owner.until === "ready"
        ? stay(state)
        : stay({ ...state, run: { ...state.run, owner } }, told);
    default:
      return stay(state);
  }
}

function interrupt(
  state: MachineState,
  event: Asked & { kind: "interrupt" },
  rules: Rules,
): Move {
  const { operation, client, at } = event;
  const by = client;
  const timeoutMs = stopMs(rules);
  const verdict = verdictOf(state, client);
  switch (verdict.does) {
    case "leave":
      return detachOwner(state, client, "detached");
    case "wipe": {
      const owner = ownerOf(state);
      const mine = owner.kind === "attached" ? owner.operation : operation;
      const goal = { kind: "wiped", operation: mine } as const;
      return beginStop(state, {
        operation,
        by,
        goal,
        how: "forced",
        timeoutMs,
        why: "interrupt",
        at,
      });
    }
    case "cancel":
    case "stop":
    case "shut_down": {
      const goal = { kind: "stopped" } as const;
      return beginStop(state, {
        operation,
        by,
        goal,
        how: "graceful",
        timeoutMs,
        why: "interrupt",
        at,
      });
    }
    case "force":
      return force(state);
    case "cancel_task":
      if ((state.kind !== "running" && state.kind !== "paused") || state.task === undefined) {
        return stay(state);
      }
      return state.task.cancelled
        ? stay(state)
        : stay({ ...state, task: { ...state.task, cancelled: true } }, cancel("interrupt"));
    case "give_up": {
      const cause = {
        code: "interrupted",
        message: "The scripts were interrupted before they ended",
        hint: "rum provision",
      } as const;
      const next = failed(cause, "running", ownerOf(state), firstBootOf(state));
      return stay({ ...next, cleaning: true }, cancel("interrupt"));
    }
    default:
      return assertNever(verdict.does, "verdict");
  }
}

/** No more patience: the machine goes off at once, whatever the stop was for stays the same. */
function force(state: MachineState): Move {
  if (state.kind !== "stopping" || state.how !== "graceful") return stay(state);
  if (state.stage === "cancelling") return stay({ ...state, how: "forced" });
  return state.stage === "graceful"
    ? stay({ ...state, stage: "cancelling", how: "forced" }, cancel("forced"))
    : stay(state);
}

function down(state: MachineState, event: Asked & { kind: "down" }): Move {
  const { operation, client, timeoutMs, at } = event;
  switch (state.kind) {
    case "failed":
      if (state.power === "off" && !state.cleaning) {
        return stay({ kind: "stopped", first_boot: state.first_boot, how: "as_found" });
      }
      break;
    case "stopping": {
      const keep = state.goal.kind === "wiped" ? state.goal : { kind: "stopped" } as const;
      const joined = keep.kind === state.goal.kind ? state : { ...state, goal: keep };
      return event.force ? force(joined) : stay(joined);
    }
    case "preparing":
    case "starting":
    case "provisioning":
    case "running":
    case "paused":
      break;
    case "absent":
    case "stopped":
    case "destroying":
    case "stuck":
    case "over":
      return stay(state);
    default:
      return assertNever(state, "phase");
  }
  return beginStop(state, {
    operation,
    by: client,
    goal: { kind: "stopped" },
    how: event.force ? "forced" : "graceful",
    timeoutMs,
    why: "down",
    at,
  });
}

function restart(state: MachineState, event: Asked & { kind: "restart" }): Move {
  const { operation, client, timeoutMs, at } = event;
  const on = state.kind === "running" || state.kind === "paused" ||
    (state.kind === "failed" && state.power === "running");
  if (!on || isWorking(state)) return stay(state);
  // Who watched the machine before goes on watching it; the new boot is this operation's.
  const run: Run = { ...newRun(operation, ownerOf(state)), why: "restart" };
  return beginStop(state, {
    operation,
    by: client,
    goal: { kind: "start", run },
    how: "graceful",
    timeoutMs,
    why: "restart",
    at,
  });
}

function ask(
  state: MachineState,
  event: Asked & { kind: "pause" | "resume" | "provision" },
): Move {
  const { operation, client } = event;
  if (isWorking(state)) return stay(state);
  const task = { operation, client, cancelled: false } as const;
  if (state.kind === "running" && event.kind === "pause") {
    return beginTask(state, { ...task, work: "pause" });
  }
  if (state.kind === "paused" && event.kind === "resume") {
    return beginTask(state, { ...task, work: "resume" });
  }
  if (event.kind !== "provision") return stay(state);
  if (state.kind === "running") {
    const [next] = beginTask(state, { ...task, work: "reprovision" });
    return stay(next, { kind: "work", work: "reprovision", operation, scope: event.scope });
  }
  return state.kind === "failed" && state.power === "running"
    ? provisionAgain(state, event)
    : stay(state);
}

function provisionAgain(state: Failed, event: Asked & { kind: "provision" }): Move {
  const again = { scope: event.scope, client: event.client };
  return beginLaunch({ ...newRun(event.operation, state.owner), again }, state.first_boot);
}
