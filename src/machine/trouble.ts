/**
 * A machine that goes off, panics or is paused by its hypervisor, and what follows while it boots:
 * the work under way is called off and the machine is failed, or the restart policy tries again.
 */
import { assertNever } from "../base/assert_never.ts";
import type { Effect } from "./effects.ts";
import type { Event, Trouble } from "./events.ts";
import { beginStop, emit, failBeside, type Move, type Rules, stay, warn } from "./moves.ts";
import type { Cause, MachineState, Run } from "./state.ts";

/** `state` may also be one at rest, when what was under way ended as the trouble came. */
export function troubleWhileBooting(
  state: MachineState & { readonly run: Run },
  event: Trouble & Pick<Event, "at">,
  rules: Rules,
): Move {
  const trouble = explain(event);
  if (trouble === undefined) return stay(state, pausedFromOutside());
  const { cause, told, power, crashed } = trouble;
  return withEffect(
    told,
    crashed && isRecovering(state.run, rules)
      ? stopToRecover(state, cause, power, event.at)
      : failBeside(state, cause, power === "on" ? "running" : "off"),
  );
}

export interface Explained {
  readonly cause: Cause;
  readonly told: Effect;
  readonly power: "on" | "off";
  /** The restart policy is for this. */
  readonly crashed: boolean;
}

/** Undefined: somebody paused it, and may let it go on. */
export function explain(trouble: Trouble): Explained | undefined {
  switch (trouble.kind) {
    case "off_seen": {
      const crashed = trouble.how === "crashed";
      const cause: Cause = {
        code: "start_failed",
        message: `The machine went off while it was booting (${trouble.detail})`,
        hint: "rum log --source boot",
      };
      const what = crashed ? "crashed" : trouble.how === "guest" ? "powered_off" : "forced_off";
      return {
        cause,
        told: emit({ kind: "guest", what, text: cause.message }),
        power: "off",
        crashed,
      };
    }
    case "panicked": {
      const cause = panicCause();
      return {
        cause,
        told: emit({ kind: "guest", what: "panicked", text: cause.message }),
        power: "on",
        crashed: true,
      };
    }
    case "paused_seen": {
      if (trouble.why === "from_outside") return undefined;
      const cause = pausedCause(trouble.why);
      const what = trouble.why === "disk_full" ? "disk_full" : "paused";
      return {
        cause,
        told: emit({ kind: "guest", what, text: cause.message }),
        power: "on",
        crashed: false,
      };
    }
    default:
      return assertNever(trouble, "trouble");
  }
}

export function pausedFromOutside(): Effect {
  return warn("The machine was paused from outside while it was booting");
}

/** A boot that the restart policy began is the policy's to try again. */
function isRecovering(run: Run, rules: Rules): boolean {
  return rules.onCrash === "restart" && run.why === "recovery";
}

export function stopToRecover(
  state: Parameters<typeof beginStop>[0] & { readonly run: Run },
  cause: Cause,
  power: "on" | "off",
  at: number,
): Move {
  const [next, effects] = beginStop(state, {
    operation: state.run.operation,
    goal: { kind: "recover", run: state.run, cause },
    how: "forced",
    timeoutMs: 0,
    why: cause.message,
    at,
  });
  return next.kind === "stopping" ? [{ ...next, power }, effects] : [next, effects];
}

export function withEffect(first: Move[1][number], [state, effects]: Move): Move {
  return [state, [first, ...effects]];
}

export function panicCause(): Cause {
  return {
    code: "guest_panicked",
    message: "The guest's kernel panicked",
    hint: "rum log --source boot",
  };
}

export function pausedCause(why: "disk_full" | "io_error"): Cause {
  return why === "disk_full"
    ? {
      code: "disk_full",
      message: "The host's disk is full, and the machine was paused to keep its data",
      hint: "df -h; then rum resume",
    }
    : {
      code: "hypervisor_error",
      message: "The machine was paused by an input/output error of the host",
      hint: "dmesg | tail; then rum resume",
    };
}
