/**
 * When the guest's clock may have fallen behind: it stands still while the machine is paused and while
 * the host sleeps. Told by events and not set every minute, because somebody may have set that clock
 * to another day on purpose.
 */
import type { Clock } from "../base/clock.ts";

/** Less is drift, which a guest's own time service sees to. */
export const CLOCK_OFF_MS = 2000;

export class ClockWatch {
  readonly #clock: Clock;
  #wallMs: number;
  #monotonicMs: number;
  #wasPaused = false;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#wallMs = clock.now().getTime();
    this.#monotonicMs = clock.monotonicMs();
  }

  /**
   * Asked now and then: true once after a pause ended, and once after the host's clock went on by
   * more or less than its processor's (it slept, or was set).
   */
  stoodStill(paused: boolean): boolean {
    const wallMs = this.#clock.now().getTime();
    const monotonicMs = this.#clock.monotonicMs();
    const jumpMs = (wallMs - this.#wallMs) - (monotonicMs - this.#monotonicMs);
    // A paused guest cannot be asked; what is seen now is kept until it runs.
    if (paused) {
      this.#wasPaused = true;
      return false;
    }
    const resumed = this.#wasPaused;
    this.#wasPaused = false;
    this.#wallMs = wallMs;
    this.#monotonicMs = monotonicMs;
    return resumed || Math.abs(jumpMs) > CLOCK_OFF_MS;
  }

  /** What a hello says of the guest's clock. */
  isOff(guestNowMs: number): boolean {
    return Math.abs(guestNowMs - this.#clock.now().getTime()) > CLOCK_OFF_MS;
  }
}
