/**
 * The output of this boot's scripts, numbered, kept for hosts that come later, bounded. While a host
 * follows, a full spool makes the script wait for it, so that no line is lost to a slow reader; when
 * nobody follows, the oldest events go and a `dropped` says how many, because a boot must not wait
 * for a host that may never come.
 */
import type { ProvisionEvent } from "../../src/protocol/agent.ts";

const CAPACITY = 2 * 1024 * 1024;

interface Kept {
  readonly event: ProvisionEvent;
  readonly bytes: number;
}

interface Follower {
  next: number;
  wake: () => void;
}

export class Spool {
  readonly #capacity: number;
  #kept: Kept[] = [];
  #bytes = 0;
  #lastSeq = 0;
  #closed = false;
  readonly #followers = new Set<Follower>();
  #roomy = Promise.withResolvers<void>();

  constructor(options: { capacity?: number } = {}) {
    this.#capacity = options.capacity ?? CAPACITY;
  }

  /** Adds an event; resolves when there is room for the next one. */
  async append(event: Omit<ProvisionEvent, "seq">): Promise<void> {
    const bytes = sizeOf(event);
    this.#kept.push({ event: { ...event, seq: ++this.#lastSeq }, bytes });
    this.#bytes += bytes;
    this.#wakeFollowers();
    this.#trim();
    while (this.#bytes > this.#capacity && this.#followers.size > 0) {
      this.#roomy = Promise.withResolvers();
      await this.#roomy.promise;
      this.#trim();
    }
  }

  /** The run is over: followers end once they have everything. A new run opens it again. */
  close(): void {
    this.#closed = true;
    this.#wakeFollowers();
  }

  reopen(): void {
    this.#closed = false;
  }

  get lastSeq(): number {
    return this.#lastSeq;
  }

  /** Everything after `after`, then what comes, until the run is over. */
  async *follow(after: number, signal: AbortSignal): AsyncGenerator<ProvisionEvent> {
    const follower: Follower = { next: after + 1, wake: () => {} };
    this.#followers.add(follower);
    const onAbort = () => follower.wake();
    signal.addEventListener("abort", onAbort);
    try {
      while (!signal.aborted) {
        const found = this.#at(follower.next);
        if (found !== undefined) {
          if (found.seq > follower.next) {
            yield dropped(follower.next, found.seq);
          }
          follower.next = found.seq + 1;
          yield found;
          // Only now has the reader taken it: there may be room.
          this.#roomy.resolve();
          continue;
        }
        if (this.#closed) return;
        await new Promise<void>((resolve) => follower.wake = resolve);
      }
    } finally {
      signal.removeEventListener("abort", onAbort);
      this.#followers.delete(follower);
      this.#roomy.resolve();
    }
  }

  /** The event with that number, or the first kept one after it. */
  #at(seq: number): ProvisionEvent | undefined {
    if (this.#kept.length === 0) return undefined;
    const first = this.#kept[0].event.seq;
    return this.#kept[Math.max(0, seq - first)]?.event;
  }

  /** Lets go what every follower has, or, without one, what is over the bound. */
  #trim(): void {
    let needed = Infinity;
    for (const follower of this.#followers) needed = Math.min(needed, follower.next);
    let drop = 0;
    while (
      drop < this.#kept.length && this.#bytes > this.#capacity &&
      this.#kept[drop].event.seq < needed
    ) {
      this.#bytes -= this.#kept[drop++].bytes;
    }
    if (drop > 0) this.#kept.splice(0, drop);
  }

  #wakeFollowers(): void {
    for (const follower of this.#followers) follower.wake();
  }
}

function dropped(from: number, to: number): ProvisionEvent {
  return { seq: to - 1, kind: "dropped", at: Date.now(), count: to - from };
}

function sizeOf(event: Omit<ProvisionEvent, "seq">): number {
  let bytes = 128 + (event.message?.length ?? 0);
  for (const line of event.lines ?? []) bytes += line.text.length + 48;
  return bytes;
}
