/**
 * The two halves of a splice between a connection and a stream of the mux: each ends when its source
 * does, and what that means for the other end is its caller's to say.
 */
import type { CarrierConn } from "./mux_conn.ts";

const FIRST_BYTES = 4 * 1024;
const MAX_BYTES = 64 * 1024;

/**
 * A mux stream's write resolves when its bytes went into a frame, so one buffer serves for all reads;
 * it grows with the connection that fills it, as thousands may be open that never do.
 */
export async function copyFromConn(
  conn: CarrierConn,
  writer: WritableStreamDefaultWriter<Uint8Array>,
): Promise<void> {
  let buffer = new Uint8Array(FIRST_BYTES);
  for (;;) {
    const count = await conn.read(buffer);
    if (count === null) return;
    await writer.write(buffer.subarray(0, count));
    if (count === buffer.length && count < MAX_BYTES) buffer = new Uint8Array(4 * count);
  }
}

/** Returns when the kernel has the last byte. */
export async function copyToConn(
  readable: ReadableStream<Uint8Array>,
  conn: CarrierConn,
): Promise<void> {
  for await (const chunk of readable) await writeAll(conn, chunk);
}

export async function writeAll(conn: CarrierConn, chunk: Uint8Array): Promise<void> {
  for (let at = 0; at < chunk.length;) at += await conn.write(chunk.subarray(at));
}
