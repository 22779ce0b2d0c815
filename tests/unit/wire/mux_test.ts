import { Buffer } from "node:buffer";
import assert from "node:assert/strict";
import fc from "fast-check";
import { createMux } from "../../../src/wire/mux.ts";
import type { Duplex } from "../../../src/wire/duplex.ts";
import type { Mux } from "../../../src/wire/mux_types.ts";
import { duplexPair } from "../../../src/wire/pipe.ts";
import { MuxSession } from "../../../src/wire/mux_session.ts";
import { SYNC_MAGIC } from "../../../src/wire/mux_frame.ts";
import { echo, nextStream, readAll, writeAll } from "./mux_support.ts";

function muxPair(limits = {}): { host: Mux; guest: Mux } & Disposable {
  const [a, b] = duplexPair();
  const host = createMux(a, { role: "host", limits });
  const guest = createMux(b, { role: "guest", limits });
  return { host, guest, [Symbol.dispose]: () => (host.close(), guest.close()) };
}

const HEADER = new TextEncoder().encode(`{"kind":"test"}`);

Deno.test("A stream opened on one side arrives on the other with its header", async () => {
  using pair = muxPair();
  const stream = await pair.host.open(HEADER);
  const incoming = await nextStream(pair.guest);
  assert.deepEqual(incoming.header, HEADER);
  await writeAll(stream, new Uint8Array([1, 2, 3]));
  assert.deepEqual(await readAll(incoming.stream), new Uint8Array([1, 2, 3]));
});

Deno.test("Bytes come back exactly, whatever the chunk sizes, both ways at once", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.uint8Array({ maxLength: 70_000 }), { maxLength: 8 }),
      fc.constantFrom(1024, 5000, 64 * 1024),
      async (chunks, frameBytes) => {
        using pair = muxPair({ frameBytes });
        const served = echo(pair.guest);
        const stream = await pair.host.open(HEADER);
        const sent = concat(chunks);
        const [back] = await Promise.all([readAll(stream), writeAll(stream, ...chunks)]);
        assert.ok(Buffer.from(back).equals(Buffer.from(sent)));
        pair.host.close();
        await served;
      },
    ),
    { numRuns: Deno.env.get("FULL") === "1" ? 500 : 40 },
  );
});

Deno.test("A payload full of SYNC magic passes unharmed", async () => {
  using pair = muxPair();
  const served = echo(pair.guest);
  const bytes = new Uint8Array(200_000);
  for (let at = 3; at + 16 < bytes.length; at += 16) bytes.set(SYNC_MAGIC, at);
  const stream = await pair.host.open(HEADER);
  const [back] = await Promise.all([readAll(stream), writeAll(stream, bytes)]);
  assert.ok(Buffer.from(back).equals(Buffer.from(bytes)));
  pair.host.close();
  await served;
});

Deno.test("Half-close: the answer still comes after the question has ended", async () => {
  using pair = muxPair();
  const stream = await pair.host.open(HEADER);
  const incoming = await nextStream(pair.guest);
  await writeAll(stream, new Uint8Array([7]));
  assert.deepEqual(await readAll(incoming.stream), new Uint8Array([7]));
  await writeAll(incoming.stream, new Uint8Array([8, 9]));
  assert.deepEqual(await readAll(stream), new Uint8Array([8, 9]));
  assert.equal((pair.host as MuxSession).streamCount, 0);
  assert.equal((pair.guest as MuxSession).streamCount, 0);
});

Deno.test("A stream that nobody reads holds back its own writer and no other stream", async () => {
  using pair = muxPair();
  const stalled = await pair.host.open(HEADER);
  await nextStream(pair.guest);
  const writer = stalled.writable.getWriter();
  let written = 0;
  const stuck = (async () => {
    for (;;) {
      await writer.write(new Uint8Array(64 * 1024));
      written += 64 * 1024;
    }
  })().catch(() => {});
  const served = echo(pair.guest);
  for (let i = 0; i < 50; i++) {
    const other = await pair.host.open(HEADER);
    const bytes = new Uint8Array(30_000).fill(i);
    const [back] = await Promise.all([readAll(other), writeAll(other, bytes)]);
    assert.equal(back.length, 30_000);
  }
  assert.ok(written <= 256 * 1024, `${written} bytes were taken from the writer`);
  pair.host.close();
  await Promise.all([stuck, served]);
});

Deno.test("A reset reaches the peer with its reason, in both directions", async () => {
  using pair = muxPair();
  const stream = await pair.host.open(HEADER);
  const incoming = await nextStream(pair.guest);
  incoming.stream.abort(new Error("connection refused"));
  await assert.rejects(readAll(stream), /connection refused/);
  await assert.rejects(stream.writable.getWriter().closed, /connection refused/);
  assert.equal((pair.host as MuxSession).streamCount, 0);
});

Deno.test("Cancelling a read makes the peer's writer fail and leaves the other way open", async () => {
  using pair = muxPair();
  const stream = await pair.host.open(HEADER);
  const incoming = await nextStream(pair.guest);
  await stream.readable.cancel(new Error("seen enough"));
  const writer = incoming.stream.writable.getWriter();
  await assert.rejects(
    (async () => {
      for (;;) await writer.write(new Uint8Array(10_000));
    })(),
    /seen enough/,
  );
  await writeAll(stream, new Uint8Array([5]));
  assert.deepEqual(await readAll(incoming.stream), new Uint8Array([5]));
});

Deno.test("Aborting a writer that has no credit does not wait for credit", async () => {
  using pair = muxPair();
  const stream = await pair.host.open(HEADER);
  const incoming = await nextStream(pair.guest);
  const writer = stream.writable.getWriter();
  const write = writer.write(new Uint8Array(10_000_000));
  write.catch(() => {});
  await writer.abort(new Error("gave up"));
  await assert.rejects(write, /gave up/);
  await assert.rejects(readAll(incoming.stream), /gave up/);
});

Deno.test("10,000 streams one after the other leave nothing behind", async () => {
  using pair = muxPair();
  const served = echo(pair.guest);
  for (let i = 0; i < 10_000; i++) {
    const stream = await pair.host.open(HEADER);
    const [back] = await Promise.all([readAll(stream), writeAll(stream, HEADER)]);
    assert.equal(back.length, HEADER.length);
  }
  assert.equal((pair.host as MuxSession).streamCount, 0);
  assert.equal((pair.guest as MuxSession).streamCount, 0);
  pair.host.close();
  await served;
});

Deno.test("Many streams at once, both sides opening, each gets its own bytes back", async () => {
  using pair = muxPair();
  const served = Promise.all([echo(pair.guest), echo(pair.host)]);
  await Promise.all(Array.from({ length: 100 }, async (_, i) => {
    const mux = i % 2 === 0 ? pair.host : pair.guest;
    const stream = await mux.open(HEADER);
    const bytes = crypto.getRandomValues(new Uint8Array(1 + i * 600));
    const [back] = await Promise.all([readAll(stream), writeAll(stream, bytes)]);
    assert.ok(Buffer.from(back).equals(Buffer.from(bytes)), `stream ${i}`);
  }));
  pair.host.close();
  await served;
});

Deno.test("Closing one side ends every stream of both with a reason", async () => {
  using pair = muxPair();
  const stream = await pair.host.open(HEADER);
  const incoming = await nextStream(pair.guest);
  const reads = [readAll(stream), readAll(incoming.stream)];
  pair.host.close();
  for (const read of reads) await assert.rejects(read);
  await pair.guest.closed;
  await assert.rejects(pair.host.open(HEADER), { code: "cancelled" });
  await assert.rejects(pair.guest.open(HEADER));
});

Deno.test("A ping measures a round trip, and fails when the session ends first", async () => {
  using pair = muxPair();
  assert.ok(await pair.host.ping() >= 0);
  const [a] = duplexPair();
  const alone = createMux(a, { role: "host" });
  const ping = alone.ping();
  alone.close();
  await assert.rejects(ping, { code: "cancelled" });
});

Deno.test("More streams than the limit are refused, and the session lives on", async () => {
  const [a, b] = duplexPair();
  using host = disposable(createMux(a, { role: "host" }));
  using guest = disposable(createMux(b, { role: "guest", limits: { maxBacklog: 2 } }));
  const streams: Duplex[] = [];
  for (let i = 0; i < 3; i++) streams.push(await host.mux.open(HEADER));
  await assert.rejects(readAll(streams[2]), /too many streams/);
  await nextStream(guest.mux);
  assert.ok(await host.mux.ping() >= 0);
});

Deno.test("The limit of own streams is an error that says so", async () => {
  using pair = muxPair({ maxStreams: 1 });
  await pair.host.open(HEADER);
  await assert.rejects(pair.host.open(HEADER), { code: "busy" });
  await assert.rejects(muxPair().host.open(new Uint8Array(61 * 1024)), { code: "too_large" });
});

function disposable(mux: Mux): { mux: Mux } & Disposable {
  return { mux, [Symbol.dispose]: () => mux.close() };
}

function concat(chunks: readonly Uint8Array[]): Uint8Array {
  return Buffer.concat(chunks);
}
