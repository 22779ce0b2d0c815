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
      return settleTask(request, state, event, { state: "paused", did: "paused" });
    case "resume":
      return settleTask(request, state, event, { state: "running", did: "resumed" });
    case "provision":
      return settleTask(request, state, event, { state: "running", did: "provisioned" });
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

/**
 * Work on a machine that is up. Only the end of that very work is its success: a machine that is where
 * the request wanted it for another reason (it rebooted, and was greeted anew) says nothing of it.
 */
function settleTask(
  request: Request,
  state: MachineState,
  event: Event | undefined,
  wanted: { readonly state: MachineState["kind"]; readonly did: Did },
): Outcome | undefined {
  if (state.kind === wanted.state && isOwnEnd(request, event)) return ok(wanted.did);
  const calledOff = calledOffBy(request, state, event);
  if (calledOff !== undefined) return fail(calledOff);
  if (isWorking(state)) return undefined;
  return overtaken(request, state) ?? fail({
    code: "interrupted",
    message: `"${request.kind}" was called off: the machine is ${state.kind}`,
    hint: `rum ${request.kind}`,
  });
}

/** `rum provision` on a failed machine ends, as an `up` does, with what [ready] asks for. */
function isOwnEnd({ kind, operation }: Request, event: Event | undefined): boolean {
  if (event?.kind !== "done" || event.operation !== operation) return false;
  return kind === "provision"
    ? event.work === "reprovision" || event.work === "await_ready"
    : event.work === kind;
}

/** Why the request's work will not come to its end; the machine goes on with something else. */
function calledOffBy(
  request: Request,
  state: MachineState,
  event: Event | undefined,
): Cause | undefined {
  const { kind, operation } = request;
  const hint = `rum ${kind}`;
  switch (state.kind) {
    case "starting":
    case "provisioning": {
      if (state.run.operation === operation && state.run.again !== undefined) return undefined;
      const what = event?.kind === "failed" ? "guest agent went away" : "guest rebooted";
      return {
        code: "agent_restarted",
        message: `The ${what} while "${kind}" was under way, so it was called off`,
        hint,
      };
    }
    case "stopping": {
      if (state.goal.kind !== "recover") return undefined;
      const { code, message } = state.goal.cause;
      return { code, message: `"${kind}" was called off: ${message}`, hint };
    }
    default:
      return undefined;
  }
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
