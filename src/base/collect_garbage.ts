/**
 * Deno never tells V8 that nothing goes on, and V8 by itself collects its old generation only when that has
 * grown by megabytes, which takes light work an hour. So a process that lives for weeks says so itself, whenever a
 * look finds that its heap has grown. It takes 10 ms.
 */

/** Less than this is not worth the pause. */
const WORTH_BYTES = 2 ** 20;

export class GarbageCollector {
  #afterLast = 0;

  /** Does nothing where V8 was started without `--expose-gc`. */
  look(): void {
    const gc: unknown = Reflect.get(globalThis, "gc");
    if (typeof gc !== "function") return;
    if (Deno.memoryUsage().heapUsed < this.#afterLast + WORTH_BYTES) return;
    gc({ type: "major", execution: "sync", flavor: "last-resort" });
    this.#afterLast = Deno.memoryUsage().heapUsed;
  }
}
