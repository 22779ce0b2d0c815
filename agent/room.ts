/** How many of one kind may be under way on a link. More are refused, never queued. */
import { RumError } from "../src/base/errors.ts";

export class Room {
  readonly #limit: number;
  readonly #what: string;
  readonly #hint: string;
  #taken = 0;

  constructor(limit: number, what: string, hint: string) {
    this.#limit = limit;
    this.#what = what;
    this.#hint = hint;
  }

  /**
   * A place in it, until it is disposed of.
   *
   * @throws {RumError} `busy` when there is none left
   */
  take(method: string): Disposable {
    if (this.#taken >= this.#limit) {
      throw new RumError(
        "busy",
        `Cannot take "${method}" in the guest: ${this.#taken} ${this.#what}, which is the limit`,
        { hint: this.#hint },
      );
    }
    this.#taken++;
    return { [Symbol.dispose]: () => void this.#taken-- };
  }
}
