/**
 * The multiplexer: frames that make sense, mutated into ones that do not. The session ends by name or
 * goes on; everything that waits on it ends with it, and nothing is thrown where nobody catches it.
 */
import assert from "node:assert/strict";
import { RumError } from "../../src/base/errors.ts";
import { createMux } from "../../src/wire/mux.ts";
import {
  hasPayload,
  HEADER_BYTES,
  KIND,
  MUX_VERSION,
  putHeader,
  putSync,
  sessionTag,
  SYNC_BYTES,
  SYNC_MAGIC,
} from "../../src/wire/mux_frame.ts";
import type { Mux } from "../../src/wire/mux_types.ts";
import { duplexPair } from "../../src/wire/pipe.ts";
import type { Random } from "../support/seeded.ts";
import { joined, mutated, pieces } from "./mutate.ts";
import type { Target } from "./target.ts";

const TAG = sessionTag(5n, 7n);
const KINDS = Object.values(KIND);

function sync(epoch = 7n, seen = 5n): Uint8Array {
  const bytes = new Uint8Array(SYNC_BYTES);
  putSync(bytes, 0, { version: MUX_VERSION, role: "guest", window: 65536, epoch, seen });
  return bytes;
}

function frame(kind: number, stream: number, value: number): Uint8Array {
  const bytes = new Uint8Array(HEADER_BYTES + (hasPayload(kind) ? value + 1 : 0));
  putHeader(bytes, 0, { kind, flags: 0, tag: TAG, stream, value });
  return bytes;
}

function conversation(random: Random): Uint8Array {
  const parts = [sync()];
  for (let n = random.int(30); n > 0; n--) {
    parts.push(frame(random.pick(KINDS), random.int(9), random.size(1, 2000) - 1));
  }
  if (random.int(4) === 0) parts.push(sync(BigInt(random.int(9)), BigInt(random.int(9))));
  return joined(...parts);
}

export const mux: Target = {
  name: "mux",
  async once(random, show) {
    const good = conversation(random);
    // Cut off, the mark that begins a session is what is least often hit.
    const bytes = random.int(8) === 0 ? good : joined(
      random.int(4) === 0 ? new Uint8Array() : sync(),
      mutated(random, [good, good.subarray(SYNC_BYTES)], [SYNC_MAGIC, sync(8n, 5n)]),
    );
    show(bytes);
    const [a, b] = duplexPair();
    const host = createMux(a, { role: "host", epoch: 5n });
    const draining = b.readable.pipeTo(new WritableStream()).catch(() => {});
    const taking = take(host);
    const asking = ask(host);
    const writer = b.writable.getWriter();
    writer.closed.catch(() => {});
    for (const piece of pieces(random, bytes)) await writer.write(piece).catch(() => {});
    host.close();
    const reason = await host.closed;
    assert.ok(reason instanceof RumError, String(reason));
    await Promise.all([draining, taking, asking]);
  },
};

/** Reads some of what comes, and answers. */
async function take(host: Mux): Promise<void> {
  let n = 0;
  const each: Promise<unknown>[] = [];
  for await (const { stream } of host.incoming) {
    if (n++ % 2 === 0) stream.abort();
    else each.push(stream.readable.pipeTo(stream.writable).catch(() => {}));
  }
  await Promise.all(each);
}

/** A stream of our own, to be answered by whatever comes. */
async function ask(host: Mux): Promise<void> {
  try {
    const stream = await host.open(new TextEncoder().encode('{"method":"x"}'));
    const writer = stream.writable.getWriter();
    writer.closed.catch(() => {});
    await Promise.all([
      writer.write(new Uint8Array(100_000)),
      stream.readable.pipeTo(new WritableStream()),
    ]);
  } catch {
    // Ended by name, by the session's end.
  }
}
