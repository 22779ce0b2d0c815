/**
 * How many connections there may be, by what they have done so far. Pure bookkeeping.
 *
 *   waiting      said nothing whole yet; at most 16, and the oldest makes room: a crowd of silent
 *                connections cannot keep a speaking one out
 *   established  said hello; at most 256, the next one is refused
 *   line         said a whole line; takes what is free of those, and always 4 places more
 */
import { DAEMON_LIMITS } from "../protocol/daemon.ts";

export interface PlaceLimits {
  readonly waiting: number;
  readonly established: number;
  readonly lineReserve: number;
}

export class Places {
  readonly #limits: PlaceLimits;
  /** In order of arrival; the value sends it away. */
  readonly #waiting = new Map<number, () => void>();
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

  arrive(id: number, evict: () => void): void {
    if (this.#waiting.size >= this.#limits.waiting) {
      const [oldest, send] = this.#waiting.entries().next().value!;
      this.#waiting.delete(oldest);
      send();
    }
    this.#waiting.set(id, evict);
  }

  /** False when there is no place, or the connection was sent away meanwhile. */
  establish(id: number): boolean {
    if (!this.#waiting.delete(id)) return false;
    if (this.#established.size >= this.#limits.established) return false;
    this.#established.add(id);
    return true;
  }

  /** As `establish`, for a whole line. */
  speakLine(id: number): boolean {
    if (!this.#waiting.delete(id)) return false;
    const free = this.#limits.established - this.#established.size + this.#limits.lineReserve;
    if (this.#lines.size >= free) return false;
    this.#lines.add(id);
    return true;
  }

  leave(id: number): void {
    this.#waiting.delete(id);
    this.#established.delete(id);
    this.#lines.delete(id);
  }
}
