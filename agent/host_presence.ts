/**
 * Whether a host was here, and whether it is at work here now. A boot whose host is still making file
 * systems or copying folders waits with its scripts: the ones that the host brings may be newer.
 */
import { type Clock, systemClock } from "../src/base/clock.ts";

export class HostPresence {
  readonly #clock: Clock;
  readonly #seen = Promise.withResolvers<void>();
  #calls = 0;
  #restsSince = 0;

  constructor(clock: Clock = systemClock) {
    this.#clock = clock;
  }

  /** Resolves at the first authenticated hello of this process. */
  get seen(): Promise<void> {
    return this.#seen.promise;
  }

  hello(): void {
    this.#restsSince = this.#clock.monotonicMs();
    this.#seen.resolve();
  }

  /** One call of an authenticated host, until it is disposed of. */
  call(): Disposable {
    this.#calls++;
    return {
      [Symbol.dispose]: () => {
        this.#calls--;
        this.#restsSince = this.#clock.monotonicMs();
      },
    };
  }

  /** How long no call of a host has been under way. */
  get restMs(): number {
    return this.#calls > 0 ? 0 : this.#clock.monotonicMs() - this.#restsSince;
  }
}
