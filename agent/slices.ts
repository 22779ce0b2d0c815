/**
 * Long work by blocking calls, cut into slices: between two of them the event loop has its turn, so
 * that a slow guest answers a ping in the middle. Otherwise the host takes its agent for dead.
 */
const SLICE_MS = 20;

export class Slices {
  #since = performance.now();

  /** To be awaited between two pieces of the work; mostly returns at once. */
  async rest(): Promise<void> {
    if (performance.now() - this.#since <= SLICE_MS) return;
    await new Promise((resolve) => setTimeout(resolve, 0));
    this.#since = performance.now();
  }
}
