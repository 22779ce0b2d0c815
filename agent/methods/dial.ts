/**
 * dial: one TCP connection inside the guest, spliced with the call's stream. Half-close passes both
 * ways, a reset on either side becomes a reset on the other, and a slow reader slows its own
 * connection only.
 *
 * Not node:net, which resets for us: Deno keeps up to 256 of its read buffers of 64 KiB for later,
 * 16 MiB that an agent would hold for the life of its guest.
 */
import { RumError } from "../../src/base/errors.ts";
import { dialParams } from "../../src/protocol/agent.ts";
import { endingOf } from "../../ffi/tcp_sockets.ts";
import { copyFromConn, copyToConn } from "../../src/wire/splice.ts";
import type { Call } from "../call.ts";

const CONNECT_MS = 10_000;

export async function dial(call: Call): Promise<void> {
  const params = call.params(dialParams);
  const conn = await connectFirst(
    params.host === undefined ? ["127.0.0.1", "::1"] : [params.host],
    params.port,
    call.signal,
  );
  const ending = endingOf(conn);
  call.signal.addEventListener("abort", ending.reset, { once: true });
  try {
    conn.setNoDelay(true);
    const { readable, writer } = await call.switchToRaw({});
    await Promise.all([
      copyToConn(readable, conn).then(() => conn.closeWrite()),
      copyFromConn(conn, writer).then(() => writer.close()),
    ]);
    ending.close();
  } catch (error) {
    ending.reset();
    throw error;
  } finally {
    call.signal.removeEventListener("abort", ending.reset);
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
