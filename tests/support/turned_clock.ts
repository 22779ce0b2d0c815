/** Time that passes only when a test turns it. */
import type { Clock } from "../../src/base/clock.ts";

interface Sleeper {
  readonly at: number;
  readonly wake: () => void;
}

export class TurnedClock implements Clock {
  #ms = 0;
  #sleepers = new Set<Sleeper>();

  now(): Date {
    return new Date(this.#ms);
  }

  monotonicMs(): number {
    return this.#ms;
  }

  /** How many wait. */
  get sleeping(): number {
    return this.#sleepers.size;
  }

  sleep(ms: number, options: { signal?: AbortSignal } = {}): Promise<void> {
    const { signal } = options;
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason);
      const onAbort = () => {
        this.#sleepers.delete(sleeper);
        reject(signal!.reason);
      };
      const sleeper: Sleeper = {
        at: this.#ms + ms,
        wake: () => {
          signal?.removeEventListener("abort", onAbort);
          resolve();
        },
      };
      this.#sleepers.add(sleeper);
      signal?.addEventListener("abort", onAbort, { once: true });
    });
  }

  /** Lets time pass; every sleeper whose time comes is woken in order and may do what it wants. */
  async turn(ms: number): Promise<void> {
    const end = this.#ms + ms;
    for (;;) {
      const [next] = [...this.#sleepers].filter((s) => s.at <= end).sort((a, b) => a.at - b.at);
      if (next === undefined) break;
      this.#sleepers.delete(next);
      this.#ms = Math.max(this.#ms, next.at);
      next.wake();
      await new Promise((done) => setTimeout(done, 0));
    }
    this.#ms = end;
  }
}
