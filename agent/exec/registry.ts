/**
 * The programs that run for a host right now, so that a signal or a new terminal size, which travel
 * as calls of their own, find them; and so that none outlives an upgrade.
 */
import { RumError } from "../../src/base/errors.ts";

export interface RunningExec {
  readonly pid: number;
  signal(name: Deno.Signal): void;
  /** Absent without a terminal. */
  resize?(cols: number, rows: number): void;
  /** Ends the whole session of it. */
  end(): Promise<void>;
}

export class ExecRegistry {
  readonly #running = new Map<number, RunningExec>();
  #last = 0;

  add(running: RunningExec): number {
    const id = ++this.#last;
    this.#running.set(id, running);
    return id;
  }

  remove(id: number): void {
    this.#running.delete(id);
  }

  get size(): number {
    return this.#running.size;
  }

  /** @throws {RumError} `not_running` when it ended already */
  get(id: number): RunningExec {
    const found = this.#running.get(id);
    if (found === undefined) {
      throw new RumError("not_running", `Exec ${id} is not running (any more)`);
    }
    return found;
  }

  async endAll(): Promise<void> {
    await Promise.allSettled([...this.#running.values()].map((each) => each.end()));
  }
}
