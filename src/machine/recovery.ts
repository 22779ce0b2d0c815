/**
 * The restart policy's limiter, pure: more than five crashes within a minute give up; between
 * restarts the wait doubles from one second to five minutes, and starts over once the machine has
 * been up for five minutes (SPEC section 3, `[recovery]`).
 */
import { type BackOff, backOffMs } from "../base/schedule.ts";
import type { CrashHistory } from "./state.ts";

export const CRASH_WINDOW_MS = 60_000;
export const CRASHES_IN_WINDOW = 5;
export const STABLE_AFTER_MS = 5 * 60_000;
export const CRASH_BACK_OFF: BackOff = Object.freeze({
  kind: "exponential",
  firstMs: 1000,
  maxMs: 5 * 60_000,
});

export type CrashVerdict =
  | { readonly kind: "restart"; readonly delayMs: number; readonly history: CrashHistory }
  | { readonly kind: "give_up"; readonly crashes: number };

/** A machine that was ready for long enough has its back-off forgotten. */
export function forgiveAfter(history: CrashHistory, upForMs: number): CrashHistory {
  return upForMs >= STABLE_AFTER_MS ? { ...history, streak: 0 } : history;
}

export function afterCrash(history: CrashHistory, at: number): CrashVerdict {
  const recent = [...history.recent.filter((then) => at - then < CRASH_WINDOW_MS), at];
  if (recent.length > CRASHES_IN_WINDOW) return { kind: "give_up", crashes: recent.length };
  const streak = history.streak + 1;
  return {
    kind: "restart",
    delayMs: backOffMs(CRASH_BACK_OFF, streak),
    history: { recent, streak },
  };
}
