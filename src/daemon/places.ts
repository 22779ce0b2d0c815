/**
 * How many connections there may be, by what they have done so far. Pure bookkeeping.
 *
 *   waiting      said nothing whole yet; at most 16, and the oldest makes room: a crowd of silent
 *                connections cannot keep a speaking one out. It has its time to speak first: a burst
 *                of clients that all mean it waits in the kernel's queue, and none is sent away
 *   established  said hello; at most 256, the next one is refused, and none is ever sent away
 *   line         said a whole line; takes what is free of those, and always 4 places more
 */
import { patientTimer } from "../base/patient_timer.ts";
import { DAEMON_LIMITS } from "../protocol/daemon.ts";

export interface PlaceLimits {
  readonly waiting: number;
  readonly established: number;
  readonly lineReserve: number;
}

/** Enough for a client that has connected to have written its hello, on a busy host too. */
const TIME_TO_SPEAK_MS = 100;

export class Places {
  readonly #limits: PlaceLimits;
  /** In order of arrival; the value sends it away. */
  readonly #waiting = new Map<number, { readonly since: number; readonly evict: () => void }>();
  #onRoom?: () => void;
  readonly #established = new Set<number>();
  readonly #lines = new Set<number>();

  constructor(limits: PlaceLimits = DAEMON_LIMITS) {
    this.#limits = limits;
  }

  counts(): { waiting: number; established: number; lines: number } {
    return {
      waiting: this.#waiting.size,
      established: this.#established.size,
      lines: this.#lines.size,
    };
  }

  /** Resolves when a newcomer takes the place of nobody who might be about to speak. */
  async room(): Promise<void> {
    if (this.#waiting.size < this.#limits.waiting) return;
    const [{ since }] = this.#waiting.values();
    const left = Math.max(0, since + TIME_TO_SPEAK_MS - performance.now());
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#onRoom = resolve;
    const timer = patientTimer(left, resolve);
    await promise;
    timer.cancel();
    this.#onRoom = undefined;
  }

  arrive(id: number, evict: () => void): void {
    if (this.#waiting.size >= this.#limits.waiting) {
      const [[oldest, waiting]] = this.#waiting;
      this.#waiting.delete(oldest);
      waiting.evict();
    }
    this.#waiting.set(id, { since: performance.now(), evict });
  }

  /** False when there is no place, or the connection was sent away meanwhile. */
  establish(id: number): boolean {
    if (!this.#spoke(id)) return false;
    if (this.#established.size >= this.#limits.established) return false;
    this.#established.add(id);
    return true;
  }

  /** As `establish`, for a whole line. */
  speakLine(id: number): boolean {
    if (!this.#spoke(id)) return false;
    const free = this.#limits.established - this.#established.size + this.#limits.lineReserve;
    if (this.#lines.size >= free) return false;
    this.#lines.add(id);
    return true;
  }

  leave(id: number): void {
    this.#spoke(id);
    this.#established.delete(id);
    this.#lines.delete(id);
  }

  /** False for one that was sent away. */
  #spoke(id: number): boolean {
    const waited = this.#waiting.delete(id);
    if (waited) this.#onRoom?.();
    return waited;
  }
}
