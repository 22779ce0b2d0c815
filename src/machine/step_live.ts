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
import {
  greeted,
  panicCause,
  pausedCause,
  readinessOf,
  saveDone,
  stopToRecover,
  withEffect,
} from "./step_boot.ts";
import type { Cause, Failed, Paused, Run, Running, Task } from "./state.ts";

const DONE = { kind: "done" } as const;

export function stepRunning(state: Running, event: Event, rules: Rules): Move {
  const { run, task, agent } = state;
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
      const told = emit({ kind: "guest", what: "rebooted", text: "The guest rebooted" });
      if (task !== undefined) return settle(run, told);
      return withEffect(told, beginGreeting(run, DONE));
    }
    case "agent_up": {
      const { boot_id, version } = event.hello;
      if (boot_id !== agent.boot_id) {
        const told = emit({ kind: "guest", what: "rebooted", text: "The guest rebooted" });
        return task === undefined
          ? withEffect(told, greeted(run, DONE, event.hello))
          : settle(run, told);
      }
      const told = emit({ kind: "agent", state: "up", boot_id, version });
      if (agent.kind === "up") return stay(state, told);
      if (task !== undefined) {
        const { operation } = event;
        return stay({ ...state, agent: { kind: "back", boot_id, operation } }, told);
      }
      return beginTask(
        { ...state, agent: { kind: "up", boot_id } },
        { work: "restore", operation: event.operation, cancelled: false },
        told,
      );
    }
    case "agent_lost":
      return stay(
        { ...state, agent: { kind: "lost", boot_id: agent.boot_id } },
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
      return task?.work === "resume" ? stay(state) : stay(toRunning(state), resumedEvent());
    case "off_seen":
      return wentOff(state, event, rules);
    case "panicked":
      return panicked(state, event.at, rules);
    case "client_left":
      return detachOwner(state, event.client, event.why);
    default:
      // A paused guest's agent is silent, of course: nothing is made of that.
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
      return state.power === "off"
        ? stay(state)
        : stay(state, emit({ kind: "guest", what: "rebooted", text: "The guest rebooted" }));
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
      return idle.kind === "running" && idle.ready.kind === "not_ready" && !task.cancelled
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
      return task.then === "apply"
        ? beginTask(running, {
          work: "apply",
          operation: task.operation,
          ...(task.client === undefined ? {} : { client: task.client }),
          cancelled: false,
        }, resumedEvent())
        : withAgentBack(running, [resumedEvent()]);
    }
    default:
      return withAgentBack(idle, []);
  }
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
