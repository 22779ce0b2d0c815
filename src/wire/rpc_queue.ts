/**
 * The two bounded buffers of a call.
 *
 *   InputQueue   client → handler; bounded by the window that the client was granted. A client that
 *                sends more broke the protocol.
 *   OfferQueue   handler → client, for events that may be lost: the oldest go, and their number is
 *                told in their place. Never makes the handler wait.
 */
import { RumError } from "../base/errors.ts";

/** Smaller chunks are merged, so that single bytes do not cost an object each. */
const MERGE_BELOW = 4096;

export class InputQueue implements AsyncIterable<Uint8Array> {
  readonly #window: number;
  /** Told after bytes were taken; the client may send that many more. */
  readonly #onTaken: (bytes: number) => void;
  #chunks: Uint8Array[] = [];
  #held = 0;
  #ended = false;
  #failure?: { readonly reason: unknown };
  #wake?: () => void;
  #reading = false;

  constructor(options: { window: number; onTaken: (bytes: number) => void }) {
    this.#window = options.window;
    this.#onTaken = options.onTaken;
  }

  /** @throws {RumError} `protocol_error` when the window is overrun, or after the end */
  push(bytes: Uint8Array): void {
    if (this.#failure !== undefined) return;
    if (this.#ended) throw new RumError("protocol_error", "Input came after its end");
    if (this.#held + bytes.length > this.#window) {
      throw new RumError(
        "protocol_error",
        `Input overran its window: ${this.#held + bytes.length} bytes, wanted ≤ ${this.#window}`,
      );
    }
    if (bytes.length === 0) return;
    this.#held += bytes.length;
    const last = this.#chunks.at(-1);
    if (last !== undefined && last.length < MERGE_BELOW) {
      const merged = new Uint8Array(last.length + bytes.length);
      merged.set(last);
      merged.set(bytes, last.length);
      this.#chunks[this.#chunks.length - 1] = merged;
    } else this.#chunks.push(bytes);
    this.#wake?.();
  }

  end(): void {
    this.#ended = true;
    this.#wake?.();
  }

  /** The call is over: whoever still reads learns why, what is held is let go. */
  fail(reason: unknown): void {
    this.#failure ??= { reason };
    this.#chunks = [];
    this.#wake?.();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array, void, void> {
    if (this.#reading) throw new TypeError("The input of a call has one reader");
    this.#reading = true;
    for (;;) {
      if (this.#failure !== undefined) throw this.#failure.reason;
      const chunk = this.#chunks.shift();
      if (chunk !== undefined) {
        yield chunk;
        // Only now has the handler done with it what takes its time.
        this.#held -= chunk.length;
        this.#onTaken(chunk.length);
      } else if (this.#ended) return;
      else {
        await new Promise<void>((resolve) => this.#wake = resolve);
        this.#wake = undefined;
      }
    }
  }
}

export interface OfferLimits {
  readonly maxItems: number;
  readonly maxBytes: number;
}

export const OFFER_LIMITS: OfferLimits = { maxItems: 1024, maxBytes: 1024 * 1024 };

export class OfferQueue {
  readonly #limits: OfferLimits;
  /** Sends one event; the queue goes on when it resolves. */
  readonly #send: (event: unknown) => Promise<void>;
  #items: { readonly event: unknown; readonly bytes: number }[] = [];
  #bytes = 0;
  #dropped = 0;
  #pump?: Promise<void>;

  constructor(send: (event: unknown) => Promise<void>, limits: OfferLimits = OFFER_LIMITS) {
    this.#send = send;
    this.#limits = limits;
  }

  add(event: unknown): void {
    // Held as text would be exact and slow; the estimate needs to be of the right order only.
    const bytes = sizeOf(event);
    this.#items.push({ event, bytes });
    this.#bytes += bytes;
    while (
      this.#items.length > 1 &&
      (this.#items.length > this.#limits.maxItems || this.#bytes > this.#limits.maxBytes)
    ) {
      this.#bytes -= this.#items.shift()!.bytes;
      this.#dropped++;
    }
    this.#pump ??= this.#run();
  }

  /** Resolves when everything added was sent, or sending failed. Never rejects. */
  async drained(): Promise<void> {
    while (this.#pump !== undefined) await this.#pump;
  }

  clear(): void {
    this.#items = [];
    this.#bytes = 0;
    this.#dropped = 0;
  }

  async #run(): Promise<void> {
    try {
      // A turn later, so that `#pump` is set before it can be unset.
      await Promise.resolve();
      while (this.#items.length > 0 || this.#dropped > 0) {
        if (this.#dropped > 0) {
          const count = this.#dropped;
          this.#dropped = 0;
          await this.#send({ type: "dropped", count });
          continue;
        }
        const item = this.#items.shift()!;
        this.#bytes -= item.bytes;
        await this.#send(item.event);
      }
    } catch {
      // The call is over or its client is gone; the handler learns that by its signal.
      this.clear();
    } finally {
      this.#pump = undefined;
    }
  }
}

function sizeOf(event: unknown): number {
  return JSON.stringify(event)?.length ?? 0;
}
