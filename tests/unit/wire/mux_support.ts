/** What the tests of the mux share: reading to the end, writing and ending, an echo server. */
import { Buffer } from "node:buffer";
import type { Duplex } from "../../../src/wire/duplex.ts";
import type { IncomingStream, Mux } from "../../../src/wire/mux_types.ts";

export async function readAll(stream: Duplex): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of stream.readable) chunks.push(chunk);
  return new Uint8Array(Buffer.concat(chunks));
}

/** Writes all chunks and half-closes. */
export async function writeAll(stream: Duplex, ...chunks: readonly Uint8Array[]): Promise<void> {
  const writer = stream.writable.getWriter();
  for (const chunk of chunks) await writer.write(chunk);
  await writer.close();
}

export async function nextStream(mux: Mux): Promise<IncomingStream> {
  for await (const incoming of mux.incoming) return incoming;
  throw new Error("The session ended before a stream came");
}

/** Sends back what comes, on every stream, until the session ends. */
export async function echo(mux: Mux): Promise<void> {
  for await (const { stream } of mux.incoming) {
    stream.readable.pipeTo(stream.writable).catch(() => {});
  }
}
