/**
 * Two ends of a wire that exists only in memory, with what makes a real one hard: a bounded buffer
 * (a writer waits once the reader is `capacity` bytes behind), half-close, and a reset that loses
 * what was under way. So the parts that speak over a `Duplex` are tested without sockets.
 *
 * A chunk is copied on its way, as a kernel would: a sender may reuse its buffer.
 */
import type { Duplex } from "./duplex.ts";

export interface DuplexPairOptions {
  /** Bytes that one direction holds before its writer waits. */
  readonly capacity?: number;
}

/** What one end writes, the other reads. */
export function duplexPair(options: DuplexPairOptions = {}): [Duplex, Duplex] {
  const capacity = options.capacity ?? 64 * 1024;
  const there = oneWay(capacity);
  const back = oneWay(capacity);
  const abort = (reason?: unknown) => {
    const error = reason ?? new Error("The in-memory connection was reset");
    there.reset(error);
    back.reset(error);
  };
  return [
    { readable: back.readable, writable: there.writable, abort },
    { readable: there.readable, writable: back.writable, abort },
  ];
}

interface OneWay {
  readonly readable: ReadableStream<Uint8Array>;
  readonly writable: WritableStream<Uint8Array>;
  reset(error: unknown): void;
}

function oneWay(capacity: number): OneWay {
  let source!: ReadableStreamDefaultController<Uint8Array>;
  let sink!: WritableStreamDefaultController;
  let wanted = Promise.withResolvers<void>();
  let ended = false;
  const finish = () => {
    ended = true;
    wanted.resolve();
  };

  const readable = new ReadableStream<Uint8Array>({
    start(controller) {
      source = controller;
    },
    pull() {
      wanted.resolve();
    },
    cancel(reason) {
      // The reader went away: the writer learns it as EPIPE would tell it.
      if (ended) return;
      finish();
      sink.error(reason ?? new Error("The reading end of the in-memory connection was closed"));
    },
  }, { highWaterMark: capacity, size: (chunk) => chunk.byteLength });

  const writable = new WritableStream<Uint8Array>({
    start(controller) {
      sink = controller;
    },
    async write(chunk) {
      if (chunk.byteLength === 0) return;
      while (!ended && (source.desiredSize ?? 0) <= 0) {
        wanted = Promise.withResolvers<void>();
        await wanted.promise;
      }
      if (!ended) source.enqueue(chunk.slice());
    },
    close() {
      if (ended) return;
      finish();
      source.close();
    },
    abort(reason) {
      if (ended) return;
      finish();
      source.error(reason);
    },
  }, { highWaterMark: 1 });

  return {
    readable,
    writable,
    reset(error) {
      if (ended) return;
      finish();
      source.error(error);
      sink.error(error);
    },
  };
}
