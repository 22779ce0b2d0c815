/**
 * A timer for "nothing came in time". After this process was held up (stopped, starved, a suspended
 * host) timers that are due run before what has arrived meanwhile is read; so a turn more is given to
 * reading before silence is concluded.
 */
import { type LongTimer, longTimer } from "./long_timer.ts";

export function patientTimer(ms: number, conclude: () => void): LongTimer {
  let timer = longTimer(ms, () => timer = longTimer(0, conclude));
  return { cancel: () => timer.cancel() };
}
