import assert from "node:assert/strict";
import fc from "fast-check";
import { createMux } from "../../../src/wire/mux.ts";
import {
  HEADER_BYTES,
  KIND,
  MUX_VERSION,
  putHeader,
  putSync,
  sessionTag,
  SYNC_BYTES,
} from "../../../src/wire/mux_frame.ts";
import { ByteQueue } from "../../../src/wire/mux_queue.ts";
import { ReceiveWindow, WindowBudget } from "../../../src/wire/credit.ts";
import type { Mux } from "../../../src/wire/mux_types.ts";
import { duplexPair } from "../../../src/wire/pipe.ts";

const FULL = Deno.env.get("FULL") === "1";
const TAG = sessionTag(5n, 7n);

function sync(over: Partial<Parameters<typeof putSync>[2]> = {}): Uint8Array {
  const bytes = new Uint8Array(SYNC_BYTES);
  putSync(bytes, 0, {
    version: MUX_VERSION,
    role: "guest",
    window: 65536,
    epoch: 7n,
    seen: 5n,
    ...over,
  });
  return bytes;
}

function frame(kind: number, stream: number, value: number, payload?: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(HEADER_BYTES + (payload === undefined ? 0 : payload.length + 1));
  putHeader(bytes, 0, { kind, flags: 0, tag: TAG, stream, value });
  if (payload !== undefined) bytes.set(payload, HEADER_BYTES);
  return bytes;
}

const open = (id: number) => frame(KIND.open, id, 2, new Uint8Array([123, 125]));
const data = (id: number, bytes: number) => frame(KIND.data, id, bytes, new Uint8Array(bytes));

/** A host, and a guest made of raw bytes. Returns why the session ended. */
async function attack(...frames: readonly Uint8Array[]): Promise<Error> {
  const [a, b] = duplexPair();
  const host = createMux(a, { role: "host", epoch: 5n });
  b.readable.pipeTo(new WritableStream()).catch(() => {});
  const writer = b.writable.getWriter();
  writer.closed.catch(() => {});
  const writing = (async () => {
    for (const bytes of [sync(), ...frames]) await writer.write(bytes);
  })();
  const reason = await Promise.race([
    host.closed,
    writing.then(() => host.ping({ signal: AbortSignal.timeout(200) })).then(
      () => new Error("still open"),
      (error) => error,
    ),
  ]);
  host.close();
  b.abort();
  await writing.catch(() => {});
  return reason;
}

const ATTACKS: readonly { does: string; frames: Uint8Array[]; says: RegExp }[] = [
  {
    does: "sends more than its credit",
    frames: [open(2), data(2, 60_000), data(2, 6000)],
    says: /more bytes on stream 2/,
  },
  { does: "uses our stream numbers", frames: [open(3)], says: /an open of stream 3/ },
  { does: "opens a stream twice", frames: [open(4), open(4)], says: /an open of stream 4 after 4/ },
  { does: "opens stream 0", frames: [open(0)], says: /an open of stream 0/ },
  {
    does: "writes to a stream that never was",
    frames: [data(8, 1)],
    says: /stream 8, which was never opened/,
  },
  {
    does: "answers on a stream that we did not open",
    frames: [data(1, 1)],
    says: /stream 1, which was never opened/,
  },
  {
    does: "sends a frame of unknown kind",
    frames: [open(2), frame(99, 2, 0)],
    says: /unknown kind 99/,
  },
  {
    does: "claims a frame of 4 GiB",
    frames: [frame(KIND.data, 2, 0xffffffff)],
    says: /4294967295 bytes, over the limit/,
  },
  {
    does: "gives absurd credit",
    frames: [open(2), frame(KIND.credit, 2, 0xffffffff)],
    says: /a credit of/,
  },
  { does: "breaks a header", frames: [new Uint8Array(40).fill(0x72)], says: /does not add up/ },
  {
    does: "forgets the end mark",
    frames: [frame(KIND.data, 2, 1, new Uint8Array([1])).fill(9, -1)],
    says: /without its end mark/,
  },
];

for (const { does, frames, says } of ATTACKS) {
  Deno.test(`A guest that ${does} is told from an honest one`, async () => {
    const reason = await attack(...frames);
    assert.match(reason.message, says);
  });
}

Deno.test("A guest that floods us with opens and reads no refusal is cut off", async () => {
  const [a, b] = duplexPair();
  const host = createMux(a, { role: "host", epoch: 5n });
  const writer = b.writable.getWriter();
  await writer.write(sync());
  const flood = (async () => {
    for (let id = 2;; id += 2) await writer.write(open(id));
  })();
  await assert.rejects(flood);
  assert.match((await host.closed).message, /far beyond the limit/);
});

Deno.test("A guest of another mux version is refused by name", async () => {
  const [a, b] = duplexPair();
  const host = createMux(a, { role: "host", epoch: 5n });
  b.readable.pipeTo(new WritableStream()).catch(() => {});
  await b.writable.getWriter().write(sync({ version: 9 }));
  assert.equal((await host.closed as { code?: string }).code, "version_mismatch");
});

Deno.test("Random frames and random bytes never throw, and never keep more than the window", async () => {
  const anyFrame = fc.oneof(
    fc.tuple(fc.nat(9), fc.nat(9), fc.nat(200)).map(([kind, id, n]) =>
      frame(
        kind,
        id,
        n,
        kind === KIND.open || kind === KIND.data || kind === KIND.reset
          ? new Uint8Array(n)
          : undefined,
      )
    ),
    fc.uint8Array({ maxLength: 100 }),
    fc.constant(sync()),
    fc.bigInt({ min: 1n, max: 9n }).map((epoch) => sync({ epoch, seen: 0n })),
  );
  await fc.assert(
    fc.asyncProperty(
      fc.array(anyFrame, { maxLength: 60 }),
      fc.infiniteStream(fc.integer({ min: 1, max: 90 })),
      async (frames, sizes) => {
        const [a, b] = duplexPair();
        const host = createMux(a, { role: "host", epoch: 5n });
        const draining = b.readable.pipeTo(new WritableStream()).catch(() => {});
        const taking = take(host);
        const writer = b.writable.getWriter();
        writer.closed.catch(() => {});
        let bytes = new Uint8Array([...sync(), ...frames.flatMap((f) => [...f])]);
        while (bytes.length > 0) {
          const n = sizes.next().value;
          await writer.write(bytes.subarray(0, n)).catch(() => {});
          bytes = bytes.subarray(n);
        }
        host.close();
        await Promise.all([draining, taking]);
      },
    ),
    { numRuns: FULL ? 5000 : 150 },
  );
});

/** Accepts and reads nothing. */
async function take(mux: Mux): Promise<void> {
  for await (const { stream } of mux.incoming) stream.abort();
}

Deno.test("A million frames of one byte cost about a million bytes, not a million objects", () => {
  const queue = new ByteQueue();
  const carrierChunk = new Uint8Array(64 * 1024).fill(1);
  for (let i = 0; i < 1_000_000; i++) queue.push(carrierChunk.subarray(0, 1));
  assert.equal(queue.size, 1_000_000);
  let pieces = 0;
  let bytes = 0;
  for (let piece = queue.take(65536); piece !== undefined; piece = queue.take(65536)) {
    pieces++;
    bytes += piece.length;
    assert.ok(piece.buffer.byteLength < 65536);
  }
  assert.equal(bytes, 1_000_000);
  assert.ok(pieces < 100, `${pieces} pieces`);
});

Deno.test("A queue gives back what was pushed, whatever the sizes", () => {
  fc.assert(
    fc.property(
      fc.array(fc.oneof(fc.nat(20), fc.integer({ min: 4000, max: 9000 })), { maxLength: 30 }),
      fc.integer({ min: 1, max: 10_000 }),
      (sizes, max) => {
        const queue = new ByteQueue();
        const pushed: number[] = [];
        const taken: number[] = [];
        sizes.forEach((size, i) => {
          const bytes = new Uint8Array(size).fill(i + 1);
          pushed.push(...bytes);
          queue.push(bytes);
          if (i % 3 === 2) taken.push(...queue.take(max) ?? []);
        });
        for (let p = queue.take(max); p !== undefined; p = queue.take(max)) taken.push(...p);
        assert.deepEqual(taken, pushed);
        assert.equal(queue.size, 0);
      },
    ),
  );
});

Deno.test("Windows grow for a reader that keeps up, within the common budget, and give it back", () => {
  const budget = new WindowBudget(100);
  const fast = new ReceiveWindow(64, 1024, budget);
  assert.ok(fast.accept(64));
  assert.ok(!fast.accept(1));
  assert.equal(fast.consume(31, false), 0);
  assert.equal(fast.consume(33, true), 128);
  assert.equal(fast.size, 128);
  assert.equal(fast.consume(64, true), 64 + 36);
  const other = new ReceiveWindow(64, 1024, budget);
  assert.ok(other.accept(64));
  assert.equal(other.consume(64, true), 64);
  fast.release();
  assert.ok(other.accept(64));
  assert.equal(other.consume(64, true), 128);
});
