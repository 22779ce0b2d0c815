/**
 * A byte stream of the guest as a call of a client: input bytes to the guest, its bytes as events.
 * Nothing is kept here but what is under way: each side goes at the other's pace.
 */
import { RumError } from "../base/errors.ts";
import type { Duplex } from "../wire/duplex.ts";
import { StreamReset } from "../wire/mux_stream.ts";
import { type CallIo, CHUNK_BYTES } from "../wire/rpc_types.ts";

export interface PumpOptions {
  /** The call is over when the guest's half is; else when both are. */
  readonly endsWithGuest: boolean;
}

/** @throws {RumError} `agent_error` when the guest reset the stream, `agent_restarted` when it went */
export async function pumpCall(stream: Duplex, io: CallIo, options: PumpOptions): Promise<void> {
  const onAbort = () => stream.abort(io.signal.reason);
  io.signal.addEventListener("abort", onAbort, { once: true });
  try {
    io.signal.throwIfAborted();
    const there = toGuest(stream, io);
    const back = fromGuest(stream, io);
    if (!options.endsWithGuest) await Promise.all([there, back]);
    else {
      // Refused half-way: what the client still sends has no reader any more.
      there.catch(() => {});
      await back;
      // It has its answer and may never say that it sends no more; only then the stream is given back.
      stream.abort(new RumError("cancelled", "The call is over"));
    }
  } catch (cause) {
    stream.abort(cause);
    if (io.signal.aborted) throw io.signal.reason;
    if (cause instanceof RumError) throw cause;
    throw cause instanceof StreamReset
      ? new RumError("agent_error", "The guest reset the connection", { cause })
      : new RumError("agent_restarted", "The guest agent went away under the connection", {
        cause,
      });
  } finally {
    io.signal.removeEventListener("abort", onAbort);
  }
}

async function toGuest(stream: Duplex, io: CallIo): Promise<void> {
  const writer = stream.writable.getWriter();
  writer.closed.catch(() => {});
  for await (const chunk of io.input) await writer.write(chunk);
  await writer.close();
}

async function fromGuest(stream: Duplex, io: CallIo): Promise<void> {
  for await (const chunk of stream.readable) {
    for (let at = 0; at < chunk.length; at += CHUNK_BYTES) {
      const data = chunk.subarray(at, at + CHUNK_BYTES).toBase64();
      await io.emit({ stream: "data", data });
    }
  }
  await io.emit({ stream: "data", data: "", end: true });
}
