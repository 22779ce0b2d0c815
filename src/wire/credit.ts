/**
 * Flow control of one receiving direction. The peer may send what it has credit for; consumed bytes
 * give credit back in halves of the window, so that a bulk stream costs one credit frame for many
 * data frames. A window starts small, because a thousand stalled streams must stay affordable, and
 * doubles while its reader empties the queue, out of a budget that all streams share.
 */
export class WindowBudget {
  #left: number;

  constructor(bytes: number) {
    this.#left = bytes;
  }

  take(wanted: number): number {
    const taken = Math.max(0, Math.min(wanted, this.#left));
    this.#left -= taken;
    return taken;
  }

  giveBack(bytes: number): void {
    this.#left += bytes;
  }
}

export class ReceiveWindow {
  readonly #budget: WindowBudget;
  readonly #initial: number;
  readonly #max: number;
  #size: number;
  /** What the peer may still send. */
  #open: number;
  /** Consumed and not yet given back. */
  #owed = 0;

  constructor(initial: number, max: number, budget: WindowBudget) {
    this.#budget = budget;
    this.#initial = initial;
    this.#max = max;
    this.#size = initial;
    this.#open = initial;
  }

  get size(): number {
    return this.#size;
  }

  /** False when the peer sent more than it had credit for. */
  accept(bytes: number): boolean {
    if (bytes > this.#open) return false;
    this.#open -= bytes;
    return true;
  }

  /**
   * The reader took bytes; returns the credit to send now, 0 for none yet.
   *
   * @param drained nothing is queued any more: the reader is faster than the peer's credit
   */
  consume(bytes: number, drained: boolean): number {
    this.#owed += bytes;
    if (this.#owed * 2 < this.#size) return 0;
    let grant = this.#owed;
    if (drained && this.#size < this.#max) {
      const more = this.#budget.take(Math.min(this.#size, this.#max - this.#size));
      this.#size += more;
      grant += more;
    }
    this.#owed = 0;
    this.#open += grant;
    return grant;
  }

  /** The stream is over: what the window had grown by goes back to the others. */
  release(): void {
    this.#budget.giveBack(this.#size - this.#initial);
    this.#size = this.#initial;
  }
}
