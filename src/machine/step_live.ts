/**
 * Running, Paused, Failed: a machine that stays as it is until somebody asks or the world changes.
 * Tasks (applying a plan, scripts on request, pausing) run beside that, one at a time, and their end
 * is the only thing that a task changes.
 */
import type { Event } from "./events.ts";
import {
  beginGreeting,
  beginTask,
  cancel,
  detachOwner,
  emit,
  failBeside,
  failed,
  type Move,
  recover,
  type Rules,
  stay,
  warn,
  withAgentBack,
} from "./moves.ts";
import { forgiveAfter } from "./recovery.ts";
import { greeted, readinessOf, rebootedEvent, saveDone } from "./step_boot.ts";
import {
  type Agent,
  type Cause,
  type Failed,
  type Paused,
  type Run,
  type Running,
  type Task,
  UNKNOWN_BOOT,
} from "./state.ts";
import { panicCause, pausedCause, stopToRecover, withEffect } from "./trouble.ts";

const DONE = { kind: "done" } as const;

export function stepRunning(state: Running, event: Event, rules: Rules): Move {
  const { run, task } = state;
  switch (event.kind) {
    case "done":
    case "failed":
      return task !== undefined && event.operation === task.operation && event.work === task.work
        ? taskEnded(state, task, event)
        : stay(state);
    case "off_seen":
      return wentOff(state, event, rules);
    case "panicked":
      return panicked(state, event.at, rules);
    case "rebooted": {
      const told = rebootedEvent();
      if (task !== undefined) return settle(run, told);
      return withEffect(told, beginGreeting(run, DONE));
    }
    case "agent_up":
      return agentUp(state, event);
    case "agent_lost":
      return stay(
        { ...state, agent: lost(state.agent) },
        emit({ kind: "agent", state: "lost", text: event.detail }),
      );
    case "paused_seen": {
      const { why } = event;
      // Our own pause tells its end itself; a look may meet the machine just before that.
      if (why === "from_outside" && task?.work === "pause") return stay(state);
      const text = why === "from_outside"
        ? "The machine was paused from outside"
        : pausedCause(why).message;
      const what = why === "disk_full" ? "disk_full" : "paused";
      return stay(toPaused(state, why), emit({ kind: "guest", what, text }));
    }
    case "client_left":
      return detachOwner(state, event.client, event.why);
    default:
      return stay(state);
  }
}

export function stepPaused(state: Paused, event: Event, rules: Rules): Move {
  const { task } = state;
  switch (event.kind) {
    case "done":
    case "failed":
      return task !== undefined && event.operation === task.operation && event.work === task.work
        ? taskEnded(state, task, event)
        : stay(state);
    case "resumed_seen":
      // Our own resume tells its end itself.
      return task?.work === "resume"
        ? stay(state)
        : whenResumed(toRunning(state), [resumedEvent()]);
    case "agent_up":
      return agentUp(state, event);
    case "agent_lost":
      // A paused guest's agent is silent, of course, so it is not told; but another link follows it.
      return stay({ ...state, agent: lost(state.agent) });
    case "off_seen":
      return wentOff(state, event, rules);
    case "panicked":
      return panicked(state, event.at, rules);
    case "client_left":
      return detachOwner(state, event.client, event.why);
    default:
      return stay(state);
  }
}

export function stepFailed(state: Failed, event: Event): Move {
  switch (event.kind) {
    case "done":
    case "failed":
      return state.cleaning ? stay({ ...state, cleaning: false }) : stay(state);
    case "off_seen":
      return state.power === "off" ? stay(state) : stay(
        { ...state, power: "off" },
        emit({ kind: "guest", what: "powered_off", text: `The machine is off: ${event.detail}` }),
      );
    case "agent_up":
      return state.power === "off" ? stay(state) : stay(
        event.hello.first_boot_done ? { ...state, first_boot: DONE } : state,
        emit({ kind: "agent", state: "up", boot_id: event.hello.boot_id }),
      );
    case "rebooted":
      return state.power === "off" ? stay(state) : stay(state, rebootedEvent());
    case "client_left":
      return detachOwner(state, event.client, event.why);
    default:
      return stay(state);
  }
}

function taskEnded(
  state: Running | Paused,
  task: Task,
  event: Event & { kind: "done" | "failed" },
): Move {
  const { task: _, ...idle } = state;
  if (event.kind === "failed") {
    const broken = event.cause.code === "provision_failed" || event.cause.code === "script_failed";
    if (task.work === "reprovision" && broken && !task.cancelled) {
      return stay(failed(event.cause, "running", state.run.owner, DONE));
    }
    const told = task.cancelled || task.client !== undefined
      ? []
      : [warn(`The task "${task.work}" failed`, event.cause)];
    return withAgentBack(idle, told);
  }
  switch (event.work) {
    case "apply": {
      const { applied, needs } = event.result;
      const told = emit({ kind: "changes", applied, needs });
      // Whoever asks for the machine again asks whether it is ready by now.
      return idle.kind === "running" && idle.ready.kind === "not_ready" && !task.cancelled &&
          !isUnknown(idle)
        ? beginTask(idle, { ...task, work: "await_ready" }, told)
        : withAgentBack(idle, [told]);
    }
    case "await_ready":
      return withAgentBack({ ...idle, ready: readinessOf(event.result) }, []);
    case "reprovision":
      return withAgentBack(idle, [saveDone(event.result.scripts)]);
    case "pause":
      return stay(
        toPaused(idle, "asked"),
        emit({
          kind: "guest",
          what: "paused",
          text: "The machine is paused",
        }),
      );
    case "resume": {
      const running = toRunning(idle);
      // A boot that is greeted takes over by itself what the `up` wants.
      return task.then === "apply" && !isUnknown(running)
        ? beginTask(running, {
          work: "apply",
          operation: task.operation,
          ...(task.client === undefined ? {} : { client: task.client }),
          cancelled: false,
        }, resumedEvent())
        : whenResumed(running, [resumedEvent()]);
    }
    default:
      return withAgentBack(idle, []);
  }
}

function lost(agent: Agent): Agent {
  const greeted = agent.kind !== "back" || !agent.unknown;
  return { kind: "lost", boot_id: greeted ? agent.boot_id : UNKNOWN_BOOT };
}

function isUnknown({ agent }: Running | Paused): boolean {
  return agent.kind === "back" && agent.unknown === true;
}

/** A hello. The same boot's is an agent that is back; another's is a guest that rebooted. */
function agentUp(state: Running | Paused, event: Event & { kind: "agent_up" }): Move {
  const { run, task, agent } = state;
  const { boot_id, version } = event.hello;
  const up = emit({ kind: "agent", state: "up", boot_id, version });
  const back = { kind: "back", boot_id, operation: event.operation } as const;
  if (boot_id === agent.boot_id) {
    if (agent.kind !== "lost") return stay(state, up);
    const next = { ...state, agent: back };
    return task === undefined ? whenResumed(next, [up]) : stay(next, up);
  }
  // A boot that nobody knew of before is no reboot.
  const told = agent.boot_id === UNKNOWN_BOOT ? [] : [rebootedEvent()];
  if (state.kind === "running" && task === undefined) {
    const [next, effects] = greeted(run, DONE, event.hello);
    return [next, [...told, ...effects]];
  }
  return state.kind === "running" && told.length > 0
    ? settle(run, rebootedEvent())
    : stay({ ...state, agent: { ...back, unknown: true } }, ...told, up);
}

/** A machine that was found paused has not been seen ready: its first agent is asked for that too. */
function whenResumed(state: Running | Paused, effects: Move[1]): Move {
  const { run, ready, agent } = state;
  const unseen = run.why === "found" && ready.kind === "not_ready";
  if (state.kind !== "running" || !unseen || agent.kind !== "back" || isUnknown(state)) {
    return withAgentBack(state, effects);
  }
  return beginTask(
    { ...state, agent: { kind: "up", boot_id: agent.boot_id } },
    { work: "await_ready", operation: agent.operation, cancelled: false },
    ...effects,
  );
}

function resumedEvent(): Move[1][number] {
  return emit({ kind: "guest", what: "resumed", text: "The machine goes on" });
}

function toPaused(state: Running | Paused, why: Paused["why"]): Paused {
  return { ...state, kind: "paused", why };
}

function toRunning(state: Running | Paused): Running {
  if (state.kind === "running") return state;
  const { why: _, ...kept } = state;
  return { ...kept, kind: "running" };
}

/** The guest rebooted under a task: call it off, then greet the new boot. */
function settle(run: Run, told: Move[1][number]): Move {
  return stay(
    { kind: "starting", stage: "settling", run, first_boot: DONE },
    told,
    cancel("the guest rebooted"),
  );
}

function wentOff(
  state: Running | Paused,
  event: Event & { kind: "off_seen" },
  rules: Rules,
): Move {
  if (event.how === "crashed") {
    const cause: Cause = {
      code: "start_failed",
      message: `The machine's QEMU died (${event.detail})`,
      hint: "rum up",
    };
    const told = emit({ kind: "guest", what: "crashed", text: cause.message });
    if (rules.onCrash !== "restart") return withEffect(told, failBeside(state, cause, "off"));
    const run = forgiven(state, event.at);
    return withEffect(
      told,
      state.task === undefined
        ? recover(run, cause, DONE, event.at)
        : stopToRecover({ ...state, run }, cause, "off", event.at),
    );
  }
  const how = event.how === "guest" ? "by_guest" : "from_outside";
  const told = emit({
    kind: "guest",
    what: event.how === "guest" ? "powered_off" : "forced_off",
    text: event.how === "guest"
      ? "The guest shut itself down"
      : `The machine was forced off from outside (${event.detail})`,
  });
  if (state.task === undefined) return stay({ kind: "stopped", first_boot: DONE, how }, told);
  return stay(
    {
      kind: "stopping",
      operation: state.task.operation,
      stage: "cancelling",
      goal: { kind: "stopped" },
      power: "off",
      how,
      timeoutMs: 0,
      first_boot: DONE,
    },
    told,
    cancel(event.detail),
  );
}

function panicked(state: Running | Paused, at: number, rules: Rules): Move {
  const cause = panicCause();
  return withEffect(
    emit({ kind: "guest", what: "panicked", text: cause.message }),
    rules.onCrash === "restart"
      ? stopToRecover({ ...state, run: forgiven(state, at) }, cause, "on", at)
      : failBeside(state, cause, "running"),
  );
}

function forgiven(state: Running | Paused, at: number): Run {
  return { ...state.run, crashes: forgiveAfter(state.run.crashes, at - state.since) };
}
