/**
 * dial: one TCP connection inside the guest, spliced with the call's stream. Half-close passes both
 * ways, a reset on either side becomes a reset on the other, and a slow reader slows its own
 * connection only.
 *
 * Not node:net, which resets for us: Deno keeps up to 256 of its read buffers of 64 KiB for later,
 * 16 MiB that an agent would hold for the life of its guest. Here each connection has one buffer.
 */
import { RumError } from "../../src/base/errors.ts";
import { dialParams } from "../../src/protocol/agent.ts";
import { resetConnection } from "../../ffi/tcp_sockets.ts";
import type { Call } from "../call.ts";

const CONNECT_MS = 10_000;
const READ_BYTES = 64 * 1024;

export async function dial(call: Call): Promise<void> {
  const params = call.params(dialParams);
  const conn = await connectFirst(
    params.host === undefined ? ["127.0.0.1", "::1"] : [params.host],
    params.port,
    call.signal,
  );
  let open = true;
  const close = () => {
    if (open) conn.close();
    open = false;
  };
  const reset = () => {
    if (open) resetFirst(conn);
    close();
  };
  call.signal.addEventListener("abort", reset, { once: true });
  try {
    conn.setNoDelay(true);
    const { readable, writer } = await call.switchToRaw({});
    await Promise.all([toGuest(readable, conn), fromGuest(conn, writer)]);
    close();
  } catch (error) {
    reset();
    throw error;
  } finally {
    call.signal.removeEventListener("abort", reset);
  }
}

async function connectFirst(
  hosts: readonly string[],
  port: number,
  signal: AbortSignal,
): Promise<Deno.TcpConn> {
  let last: unknown;
  for (const host of hosts) {
    try {
      return await connectTo(host, port, signal);
    } catch (error) {
      last = error;
    }
  }
  const reason = last instanceof Error ? last.message : String(last);
  throw new RumError("agent_error", `Cannot connect to port ${port} in the guest: ${reason}`, {
    data: { reason: "refused", port },
  });
}

async function connectTo(
  hostname: string,
  port: number,
  signal: AbortSignal,
): Promise<Deno.TcpConn> {
  const patience = AbortSignal.timeout(CONNECT_MS);
  try {
    return await Deno.connect({ hostname, port, signal: AbortSignal.any([signal, patience]) });
  } catch (error) {
    signal.throwIfAborted();
    if (patience.aborted) throw new Error(`no answer within ${CONNECT_MS / 1000} s`);
    throw error;
  }
}

/** A `Deno.Conn` alone can only be closed in order. */
function resetFirst(conn: Deno.TcpConn): void {
  try {
    resetConnection(conn.localAddr, conn.remoteAddr);
  } catch {
    // No /proc, or another C library: it ends in order then.
  }
}

async function toGuest(readable: ReadableStream<Uint8Array>, conn: Deno.TcpConn): Promise<void> {
  for await (const chunk of readable) {
    for (let at = 0; at < chunk.length;) at += await conn.write(chunk.subarray(at));
  }
  await conn.closeWrite();
}

/** A write resolves when its bytes went into a frame, so there is one buffer for all of them. */
async function fromGuest(
  conn: Deno.TcpConn,
  writer: WritableStreamDefaultWriter<Uint8Array>,
): Promise<void> {
  const buffer = new Uint8Array(READ_BYTES);
  for (;;) {
    const count = await conn.read(buffer);
    if (count === null) break;
    await writer.write(buffer.subarray(0, count));
  }
  await writer.close();
}
