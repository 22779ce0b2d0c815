/**
 * A connected Unix socket as a `Duplex`. Deno's own `conn.writable` closes the whole socket when it
 * is closed, which would take the answer away from a client that half-closes; this one shuts down
 * the writing direction only, and the socket itself goes with `abort`.
 */
import type { Duplex } from "../wire/duplex.ts";

const FIRST_BUFFER = 2048;

export function unixDuplex(
  conn: Deno.UnixConn,
  options: { readonly maxBuffer?: number } = {},
): Duplex {
  const maxBuffer = options.maxBuffer ?? 64 * 1024;
  // Grows with what is sent: most connections say one short thing, and thousands may come and go.
  let size = Math.min(FIRST_BUFFER, maxBuffer);
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
      const buffer = new Uint8Array(size);
      try {
        const n = closed ? null : await conn.read(buffer);
        if (n === null) return controller.close();
        // A small chunk must not keep a large buffer alive.
        controller.enqueue(n * 4 < size ? buffer.slice(0, n) : buffer.subarray(0, n));
        if (n === size) size = Math.min(size * 4, maxBuffer);
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
