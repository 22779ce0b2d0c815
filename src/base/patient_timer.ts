/**
 * A timer for "nothing came in time". After this process was held up (stopped, starved, a suspended
 * host) timers that are due run before what has arrived meanwhile is read; so a turn more is given to
 * reading before silence is concluded.
 */
export function patientTimer(ms: number, conclude: () => void): { cancel(): void } {
  let timer = setTimeout(() => timer = setTimeout(conclude, 0), ms);
  return { cancel: () => clearTimeout(timer) };
}
