/**
 * Stopping and Destroying: from whatever was under way to nothing running, in stages of which each
 * is begun exactly once. A stage that fails is named; a graceful stop that takes too long is forced
 * and said so; a destroy that fails half-way leaves a machine that only `destroy` can finish.
 */
import type { Event } from "./events.ts";
import {
  advanceStop,
  detachOwner,
  emit,
  failed,
  forceAway,
  type Move,
  stay,
  warn,
  work,
} from "./moves.ts";
import { type Destroying, DETACHED, type Stopping } from "./state.ts";

export function stepStopping(state: Stopping, event: Event): Move {
  switch (event.kind) {
    case "off_seen":
      // Later stages hear it from their own work.
      return stay(state.stage === "cancelling" ? { ...state, power: "off" } : state);
    case "client_left":
      return detachOwner(state, event.client, event.why);
    case "done":
    case "failed":
      break;
    default:
      return stay(state);
  }
  if (state.stage === "cancelling") return advanceStop(state, event.at);
  const own = state.goal.kind === "wiped" && state.stage === "wiping"
    ? state.goal.operation
    : state.operation;
  if (event.operation !== own) return stay(state);
  switch (state.stage) {
    case "graceful": {
      if (event.work !== "shut_down") return stay(state);
      if (event.kind === "done" && event.result.off) {
        return advanceStop({ ...state, power: "off" }, event.at);
      }
      const why = event.kind === "failed"
        ? warn("The orderly shutdown failed, so the machine is forced off", event.cause)
        : warn(
          `The guest did not shut down within ${state.timeoutMs / 1000} s, ` +
            "so the machine is forced off",
        );
      const [next, effects] = advanceStop({ ...state, how: "forced" }, event.at);
      return [next, [why, ...effects]];
    }
    case "forcing": {
      if (event.work !== "force_off") return stay(state);
      if (event.kind === "failed") {
        return stay(failed(event.cause, "running", DETACHED, state.first_boot, "stopped"));
      }
      const [next, effects] = advanceStop({ ...state, power: "off" }, event.at);
      const told = emit({
        kind: "guest",
        what: "forced_off",
        text: "The machine is off, by force",
      });
      return [next, [told, ...effects]];
    }
    case "discarding": {
      if (event.work !== "discard") return stay(state);
      const [next, effects] = advanceStop(state, event.at);
      return event.kind === "done" ? [next, effects] : [next, [
        warn("What the preparation left could not be removed", event.cause),
        ...effects,
      ]];
    }
    case "wiping": {
      if (event.work !== "wipe") return stay(state);
      if (event.kind === "failed") {
        return stay(failed(event.cause, "off", DETACHED, state.first_boot, "stopped"));
      }
      const told = emit({
        kind: "guest",
        what: "wiped",
        text: "The half-made machine was removed; nothing of it is left",
      });
      return event.result.left === "nothing" ? stay({ kind: "over", how: "wiped" }, told) : stay(
        { kind: "stopped", first_boot: { kind: "not_begun" }, how: "never_started" },
        emit({
          kind: "guest",
          what: "wiped",
          text: "The half-made disk was removed; the drives of before are kept",
        }),
      );
    }
  }
}

export function stepDestroying(state: Destroying, event: Event): Move {
  if (event.kind !== "done" && event.kind !== "failed") return stay(state);
  if (state.stage === "cancelling") return forceAway(state.operation);
  if (event.operation !== state.operation) return stay(state);
  if (event.work !== (state.stage === "forcing" ? "force_off" : "remove")) return stay(state);
  if (event.kind === "failed") return stay({ kind: "stuck", cause: event.cause });
  if (state.stage === "forcing") {
    return stay(
      { ...state, stage: "removing" },
      work({ work: "remove", operation: state.operation }),
    );
  }
  return stay(
    { kind: "over", how: "destroyed" },
    emit({ kind: "guest", what: "destroyed", text: "The machine was destroyed" }),
  );
}
