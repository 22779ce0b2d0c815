/**
 * May this request act now? One page of answers, so that every refusal is enumerated and the
 * interpreter's queue has no opinion of its own.
 *
 *   now      hand it to `step`
 *   join     nothing to do: it waits for what is under way (20 parallel `up`s are one `up`)
 *   wait     it queues until the work under way has ended, or its own deadline (`busy`)
 *   done     it is so already
 *   refuse   with a code, a sentence and a hint
 *
 * `down`, `destroy` and `interrupt` never wait: they pre-empt.
 */
import { assertNever } from "../base/assert_never.ts";
import type { ErrorCode } from "../base/errors.ts";
import type { Request } from "./events.ts";
import { isWorking, type MachineState } from "./state.ts";

export type Admission =
  | { readonly kind: "now" }
  | { readonly kind: "join" }
  | { readonly kind: "wait" }
  | { readonly kind: "done"; readonly did: "nothing" }
  | {
    readonly kind: "refuse";
    readonly code: ErrorCode;
    readonly message: string;
    readonly hint?: string;
  };

const NOW: Admission = { kind: "now" };
const JOIN: Admission = { kind: "join" };
const WAIT: Admission = { kind: "wait" };
const DONE: Admission = { kind: "done", did: "nothing" };

export function admit(state: MachineState, request: Request): Admission {
  if (state.kind === "over") {
    return request.kind === "release" ? DONE : {
      kind: "refuse",
      code: "shutting_down",
      message: `Cannot ${request.kind}: the background process is ending`,
      hint: "rum status",
    };
  }
  if (state.kind === "stuck" && request.kind !== "destroy" && request.kind !== "release") {
    return request.kind === "interrupt" ? NOW : {
      kind: "refuse",
      code: "state_invalid",
      message: `Cannot ${request.kind}: the machine is half destroyed (${state.cause.message})`,
      hint: "rum destroy",
    };
  }
  switch (request.kind) {
    case "up":
      return admitUp(state, request);
    case "interrupt":
      return NOW;
    case "down":
      if (state.kind === "absent" || state.kind === "stopped") return DONE;
      return state.kind === "destroying" ? JOIN : NOW;
    case "destroy":
      // Also an absent machine: its folder may be there, with a record and a token in it.
      return state.kind === "destroying" ? JOIN : NOW;
    case "restart":
      if (state.kind === "failed" && state.power === "off" && !state.cleaning) {
        return notRunning(request);
      }
      return whenRunning(state, request, ["running", "paused", "failed"]);
    case "pause":
      if (state.kind === "paused" && state.task === undefined) return DONE;
      return whenRunning(state, request, ["running"]);
    case "resume":
      if (state.kind === "running" && state.task === undefined) return DONE;
      return whenRunning(state, request, ["paused"]);
    case "provision":
      if (state.kind === "failed" && state.power === "off" && !state.cleaning) {
        return notRunning(request);
      }
      return whenRunning(state, request, ["running", "failed"]);
    case "release":
      // An accepted stop or destroy runs on to its end.
      return state.kind === "stopping" || state.kind === "destroying" ? WAIT : NOW;
    default:
      return assertNever(request, "request");
  }
}

function admitUp(state: MachineState, request: Request & { kind: "up" }): Admission {
  switch (state.kind) {
    case "preparing":
    case "starting":
    case "provisioning":
      // A reset is more than joining: it waits, then makes its new disk.
      if (request.reset !== undefined) return WAIT;
      return request.attach ? NOW : JOIN;
    default:
      return isWorking(state) ? WAIT : NOW;
  }
}

function whenRunning(
  state: MachineState,
  request: Request,
  phases: readonly MachineState["kind"][],
): Admission {
  if (isWorking(state)) return WAIT;
  if (phases.includes(state.kind)) return NOW;
  if (state.kind === "paused") {
    return {
      kind: "refuse",
      code: "not_running",
      message: `Cannot ${request.kind}: the machine is paused`,
      hint: "rum resume",
    };
  }
  if (state.kind === "failed") {
    return {
      kind: "refuse",
      code: "not_running",
      message: `Cannot ${request.kind}: the machine is failed (${state.cause.message})`,
      hint: "rum up",
    };
  }
  return notRunning(request);
}

function notRunning(request: Request): Admission {
  return {
    kind: "refuse",
    code: "not_running",
    message: `Cannot ${request.kind}: the machine is not running`,
    hint: "rum up",
  };
}
