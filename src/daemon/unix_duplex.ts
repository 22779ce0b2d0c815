/**
 * A connected Unix socket as a `Duplex`. Deno's own `conn.writable` closes the whole socket when it
 * is closed, which would take the answer away from a client that half-closes; this one shuts down
 * the writing direction only, and the socket itself goes with `abort`.
 */
import type { Duplex } from "../wire/duplex.ts";

export function unixDuplex(
  conn: Deno.UnixConn,
  options: { readonly bufferBytes?: number } = {},
): Duplex {
  const bufferBytes = options.bufferBytes ?? 64 * 1024;
  let closed = false;
  const close = () => {
    if (closed) return;
    closed = true;
    try {
      conn.close();
    } catch {
      // Closed by the runtime after an error.
    }
  };
  const readable = new ReadableStream<Uint8Array>({
    async pull(controller) {
      const buffer = new Uint8Array(bufferBytes);
      try {
        const n = closed ? null : await conn.read(buffer);
        if (n === null) controller.close();
        // A small chunk must not keep a large buffer alive.
        else controller.enqueue(n * 4 < bufferBytes ? buffer.slice(0, n) : buffer.subarray(0, n));
      } catch (error) {
        if (closed) controller.close();
        else controller.error(error);
      }
    },
  }, { highWaterMark: 0 });
  const writable = new WritableStream<Uint8Array>({
    async write(chunk) {
      for (let at = 0; at < chunk.length;) at += await conn.write(chunk.subarray(at));
    },
    async close() {
      if (!closed) await conn.closeWrite().catch(() => {});
    },
    abort: close,
  });
  return { readable, writable, abort: close };
}
