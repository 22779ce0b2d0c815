/**
 * Time as a value that can be handed in, so that back-off, uptime and deadlines are tested by
 * turning a clock and not by sleeping. `monotonicMs` never goes back; `now` may (NTP, resume).
 */
export interface Clock {
  now(): Date;
  monotonicMs(): number;
  /** Resolves after `ms`, rejects with the signal's reason when aborted first. */
  sleep(ms: number, options?: { signal?: AbortSignal }): Promise<void>;
}

export const systemClock: Clock = {
  now: () => new Date(),
  monotonicMs: () => performance.now(),
  sleep(ms, options = {}) {
    const { signal } = options;
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason);
      const onAbort = () => {
        clearTimeout(timer);
        reject(signal!.reason);
      };
      const timer = setTimeout(() => {
        signal?.removeEventListener("abort", onAbort);
        resolve();
      }, ms);
      signal?.addEventListener("abort", onAbort, { once: true });
    });
  },
};
