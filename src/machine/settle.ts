/**
 * When is a request answered, and with what? Asked after every step with the state reached and the
 * event that led there; `undefined` means that it goes on waiting. Exactly one answer per request
 * follows from the interpreter asking until there is one.
 */
import { assertNever } from "../base/assert_never.ts";
import { EXIT, exitCodeOf } from "../base/errors.ts";
import type { Event, Request } from "./events.ts";
import type { Verdict } from "./interrupt.ts";
import { type Cause, isWorking, type MachineState } from "./state.ts";

export type Did =
  | "ready"
  | "not_ready"
  | "left"
  | "stopped"
  | "forced"
  | "wiped"
  | "cancelled"
  | "destroyed"
  | "paused"
  | "resumed"
  | "provisioned"
  | "released"
  | "nothing";

export type Outcome =
  | { readonly ok: true; readonly did: Did; readonly exit: number; readonly text?: string }
  | { readonly ok: false; readonly cause: Cause; readonly exit: number };

/** An admitted request, and for an interrupt what was decided when it came. */
export interface Pending {
  readonly request: Request;
  readonly verdict?: Verdict;
}

const ok = (did: Did, exit: number = EXIT.ok, text?: string): Outcome => ({
  ok: true,
  did,
  exit,
  ...(text === undefined ? {} : { text }),
});

export function fail(cause: Cause): Outcome {
  return { ok: false, cause, exit: exitCodeOf(cause.code) };
}

/** `event`: undefined when asked right after admission, before any step of its own. */
export function settle(
  pending: Pending,
  state: MachineState,
  event: Event | undefined,
): Outcome | undefined {
  const { request } = pending;
  if (
    event?.kind === "failed" && event.operation === request.operation &&
    (state.kind === "running" || state.kind === "paused") && request.kind !== "up"
  ) {
    return fail(event.cause);
  }
  if (state.kind === "over" && state.how === "released" && request.kind !== "release") {
    return fail({
      code: "shutting_down",
      message: `The background process was ended while "${request.kind}" was under way; ` +
        "the machine was left as it is",
      hint: "rum status",
      data: { began: true },
    });
  }
  switch (request.kind) {
    case "up":
    case "restart":
      return settleUp(request, state, event);
    case "interrupt":
      return settleInterrupt(pending, state);
    case "down":
      return settleDown(state);
    case "destroy":
      if (state.kind === "over") return ok("destroyed");
      return state.kind === "stuck" ? fail(state.cause) : undefined;
    case "pause":
      return settleTask(request, state, (s) => s.kind === "paused" ? ok("paused") : undefined);
    case "resume":
      return settleTask(request, state, (s) => s.kind === "running" ? ok("resumed") : undefined);
    case "provision":
      return settleTask(
        request,
        state,
        (s) => s.kind === "running" ? ok("provisioned") : undefined,
      );
    case "release":
      return state.kind === "over" ? ok("released") : undefined;
    default:
      return assertNever(request, "request");
  }
}

function settleUp(
  request: Request,
  state: MachineState,
  event: Event | undefined,
): Outcome | undefined {
  if (isWorking(state)) return undefined;
  switch (state.kind) {
    case "running":
      // The machine is up, but its plan could not be applied: that is this `up`'s failure.
      if (event?.kind === "failed" && event.operation === request.operation) {
        return fail(event.cause);
      }
      return state.ready.kind === "ready"
        ? ok("ready")
        : ok("not_ready", EXIT.timeout, state.ready.why);
    case "paused":
      return fail(
        event?.kind === "failed" && event.operation === request.operation ? event.cause : {
          code: state.why === "disk_full" ? "disk_full" : "not_running",
          message: `The machine is paused (${state.why.replaceAll("_", " ")})`,
          hint: "rum resume",
        },
      );
    default:
      return overtaken(request, state);
  }
}

/** The machine did not stay where the request needs it. */
function overtaken(request: Request, state: MachineState): Outcome | undefined {
  switch (state.kind) {
    case "failed":
      return fail(state.cause);
    case "stuck":
      return fail(state.cause);
    case "absent":
    case "stopped":
      return fail({
        code: "interrupted",
        message: `The machine was stopped while "${request.kind}" was under way`,
        hint: "rum up",
      });
    case "over":
      return fail({
        code: "interrupted",
        message: `The machine was ${state.how} while "${request.kind}" was under way`,
        hint: "rum up",
      });
    default:
      return undefined;
  }
}

function settleTask(
  request: Request,
  state: MachineState,
  reached: (state: MachineState) => Outcome | undefined,
): Outcome | undefined {
  return isWorking(state) ? undefined : reached(state) ?? overtaken(request, state);
}

function settleInterrupt(pending: Pending, state: MachineState): Outcome | undefined {
  const verdict = pending.verdict ?? { does: "leave", exit: EXIT.ok };
  if (verdict.does === "leave") return ok("left", verdict.exit);
  if (isWorking(state)) return undefined;
  switch (state.kind) {
    case "over":
      return ok(state.how === "released" ? "left" : state.how, verdict.exit);
    case "absent":
      return ok("cancelled", verdict.exit);
    case "stopped": {
      if (verdict.does === "wipe") return ok("wiped", verdict.exit);
      if (verdict.does === "cancel") return ok("cancelled", verdict.exit);
      return ok(state.how === "forced" ? "forced" : "stopped", verdict.exit);
    }
    case "failed":
      return verdict.does === "give_up" ? ok("cancelled", verdict.exit) : fail(state.cause);
    case "running":
    case "paused":
      return ok("cancelled", verdict.exit);
    case "stuck":
      return fail(state.cause);
    default:
      return undefined;
  }
}

function settleDown(state: MachineState): Outcome | undefined {
  if (isWorking(state)) return undefined;
  switch (state.kind) {
    case "absent":
      return ok("stopped");
    case "stopped":
      return ok(state.how === "forced" ? "forced" : "stopped");
    case "over":
      return ok("stopped", EXIT.ok, `it was ${state.how}`);
    case "failed":
    case "stuck":
      return fail(state.cause);
    default:
      return undefined;
  }
}
