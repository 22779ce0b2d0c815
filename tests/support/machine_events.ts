/** What a watcher saw, and a wait for something among it that names what is missing. */
import { withDeadline } from "../../src/base/deadline.ts";
import type { HypervisorMachine, MachineEvent } from "../../src/libvirt/hypervisor.ts";

export class SeenEvents implements Disposable {
  readonly all: MachineEvent[] = [];
  readonly #watch: Disposable;
  #wake = Promise.withResolvers<void>();

  constructor(machine: HypervisorMachine) {
    this.#watch = machine.watch((event) => {
      this.all.push(event);
      this.#wake.resolve();
      this.#wake = Promise.withResolvers();
    });
  }

  /** Waits until an event whose words include all of `words` was seen, since `from`. */
  async until(
    words: Readonly<Record<string, unknown>>,
    { timeoutMs = 60_000, from = 0 } = {},
  ): Promise<MachineEvent> {
    return await withDeadline({
      waitingFor: `An event with ${JSON.stringify(words)}`,
      timeoutMs,
      lastSeen: () => JSON.stringify(this.all.slice(from)),
    }, async (signal) => {
      while (true) {
        const found = this.all.slice(from).find((event) => includes(event, words));
        if (found !== undefined) return found;
        signal.throwIfAborted();
        await this.#wake.promise;
      }
    });
  }

  [Symbol.dispose](): void {
    this.#watch[Symbol.dispose]();
  }
}

function includes(event: object, words: Readonly<Record<string, unknown>>): boolean {
  const flat: Record<string, unknown> = { ...event };
  if ("status" in event) Object.assign(flat, event.status);
  return Object.entries(words).every(([key, value]) => flat[key] === value);
}
