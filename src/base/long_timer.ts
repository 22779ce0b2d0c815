/**
 * `setTimeout` for whatever a user may ask for: past 2^31 - 1 ms (24.8 days) the platform's own fires
 * at once, so that `--timeout 600h` would be over before it began. A longer time is waited for in parts.
 */

/** The longest time that the platform's timer can wait for. */
const LONGEST_MS = 2 ** 31 - 1;

/** The platform's timers; tests turn their own. */
export interface Timers {
  set(ring: () => void, ms: number): unknown;
  clear(timer: unknown): void;
}

const PLATFORM: Timers = {
  set: (ring, ms) => setTimeout(ring, ms),
  clear: (timer) => clearTimeout(timer as number),
};

export interface LongTimer {
  /** Idempotent; after it nothing rings. */
  cancel(): void;
}

export function longTimer(ms: number, ring: () => void, timers: Timers = PLATFORM): LongTimer {
  let timer: unknown;
  const arm = (left: number) => {
    const part = Math.min(left, LONGEST_MS);
    timer = timers.set(() => left > part ? arm(left - part) : ring(), part);
  };
  arm(ms);
  return { cancel: () => timers.clear(timer) };
}

/** As `AbortSignal.timeout`, for any time; disposing gives the timer back. */
export function timeoutSignal(ms: number): Disposable & { readonly signal: AbortSignal } {
  const late = new AbortController();
  const timer = longTimer(ms, () => late.abort(new DOMException("The time is up", "TimeoutError")));
  return { signal: late.signal, [Symbol.dispose]: () => timer.cancel() };
}
