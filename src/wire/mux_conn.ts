/**
 * A connected socket (Unix, vsock) as a mux carrier. A carrier needs no half-close: when one
 * direction ends, so does the connection, and closing it twice is harmless.
 */
import type { Duplex } from "./duplex.ts";
import { writeAll } from "./splice.ts";

/** What a carrier needs of a `Deno.Conn`. */
export interface CarrierConn {
  read(into: Uint8Array): Promise<number | null>;
  write(bytes: Uint8Array): Promise<number>;
  close(): void;
}

const READ_BYTES = 128 * 1024;

export function connCarrier(conn: CarrierConn): Duplex {
  let open = true;
  // Used again after small reads, which are copied out of it.
  let spare: Uint8Array<ArrayBuffer> | undefined;
  let source!: ReadableStreamDefaultController<Uint8Array>;
  const close = () => {
    if (!open) return;
    open = false;
    conn.close();
  };
  return {
    readable: new ReadableStream<Uint8Array>({
      start(controller) {
        source = controller;
      },
      async pull(controller) {
        const chunk = spare ?? new Uint8Array(READ_BYTES);
        spare = undefined;
        let count: number | null;
        try {
          count = await conn.read(chunk);
        } catch (error) {
          // Closed by ourselves: whoever did that has told the reader already.
          if (!open) return;
          close();
          throw error;
        }
        if (count === null) {
          if (!open) return;
          close();
          controller.close();
        } else {
          // Small reads must not keep a large buffer alive.
          const small = count < READ_BYTES / 4;
          if (small) spare = chunk;
          controller.enqueue(small ? chunk.slice(0, count) : chunk.subarray(0, count));
        }
      },
      cancel: close,
    }, { highWaterMark: 0 }),
    writable: new WritableStream<Uint8Array>({
      write: (chunk) => writeAll(conn, chunk),
      close,
      abort: close,
    }),
    abort(reason) {
      if (!open) return;
      close();
      source.error(reason ?? new Error("The connection was closed on this side"));
    },
  };
}
