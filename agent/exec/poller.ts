/**
 * One thread that watches every terminal and every child on one: Deno's pool of blocking threads is
 * small and file access shares it, so a thread per shell would let a few shells starve the agent.
 * The thread exists only while something is watched.
 */
import { libc } from "../../ffi/libc.ts";

export const POLLIN = 0x1;
export const POLLOUT = 0x4;
const EFD_CLOEXEC = 0o2000000;

interface Watch {
  readonly fd: number;
  readonly events: number;
  readonly resolve: () => void;
}

export class Poller {
  #watches: Watch[] = [];
  #wakeFd = -1;
  #running = false;
  #runEnded: Promise<void> = Promise.resolve();

  /** Resolves when nothing is watched any more and the thread is given up. */
  get atRest(): Promise<void> {
    return this.#runEnded;
  }

  /** Resolves when the descriptor is ready, hung up or in error. */
  ready(fd: number, events: number): Promise<void> {
    return new Promise((resolve) => {
      this.#watches.push({ fd, events, resolve });
      if (this.#running) this.#wake();
      else this.#runEnded = this.#run();
    });
  }

  /** Nobody waits for it any more; its waits resolve. Before the descriptor is closed. */
  forget(fd: number): void {
    const gone = this.#watches.filter((watch) => watch.fd === fd);
    this.#watches = this.#watches.filter((watch) => watch.fd !== fd);
    for (const watch of gone) watch.resolve();
    if (this.#running) this.#wake();
  }

  #wake(): void {
    libc("write")(this.#wakeFd, new Uint8Array(new BigUint64Array([1n]).buffer), 8n);
  }

  async #run(): Promise<void> {
    this.#running = true;
    this.#wakeFd = libc("eventfd")(0, EFD_CLOEXEC);
    while (this.#watches.length > 0) {
      const watches = [...this.#watches];
      const table = new Uint8Array(8 * (watches.length + 1));
      const view = new DataView(table.buffer);
      view.setInt32(0, this.#wakeFd, true);
      view.setInt16(4, POLLIN, true);
      watches.forEach((watch, i) => {
        view.setInt32(8 * (i + 1), watch.fd, true);
        view.setInt16(8 * (i + 1) + 4, watch.events, true);
      });
      await libc("poll_waiting")(table, BigInt(watches.length + 1), -1);
      if (view.getInt16(6, true) !== 0) libc("read")(this.#wakeFd, new Uint8Array(8), 8n);
      const ready = new Set(watches.filter((_, i) => view.getInt16(8 * (i + 1) + 6, true) !== 0));
      // One that was forgotten meanwhile has resolved and is no longer in the list.
      this.#watches = this.#watches.filter((watch) => !ready.has(watch));
      for (const watch of ready) watch.resolve();
      // Those who were woken watch again at once; let them, before the thread is given up.
      await Promise.resolve();
      await new Promise((resolve) => setTimeout(resolve, 0));
    }
    libc("close")(this.#wakeFd);
    this.#running = false;
  }
}
