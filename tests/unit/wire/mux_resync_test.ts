import { Buffer } from "node:buffer";
import assert from "node:assert/strict";
import fc from "fast-check";
import type { Duplex } from "../../../src/wire/duplex.ts";
import { createMux, type MuxCarrier, muxOver } from "../../../src/wire/mux.ts";
import { SYNC_MAGIC } from "../../../src/wire/mux_frame.ts";
import type { Mux } from "../../../src/wire/mux_types.ts";
import { duplexPair } from "../../../src/wire/pipe.ts";
import { echo, nextStream, readAll, writeAll } from "./mux_support.ts";

const FULL = Deno.env.get("FULL") === "1";
const HEADER = new TextEncoder().encode("{}");
const SIGNAL = new AbortController().signal;

/**
 * A port: one end stays, whoever holds the other end may die and be replaced. What the dead one had
 * written up to a byte is delivered, the rest never; what was on its way to it is lost.
 */
class Port {
  readonly fixed: Duplex;
  readonly #inner: Duplex;
  #writer: WritableStreamDefaultWriter<Uint8Array>;
  #reader: ReadableStreamDefaultReader<Uint8Array>;
  #holder: Duplex | undefined;
  #delivery: Promise<void> = Promise.resolve();
  #toHolder: WritableStreamDefaultWriter<Uint8Array> | undefined;

  constructor() {
    [this.fixed, this.#inner] = duplexPair();
    this.#writer = this.#inner.writable.getWriter();
    this.#reader = this.#inner.readable.getReader();
    this.#writer.closed.catch(() => {});
    this.#down();
  }

  /** Bytes of nobody in particular. */
  inject(bytes: Uint8Array): Promise<void> {
    return this.#delivery = this.#delivery.then(() => this.#writer.write(bytes));
  }

  /** A new holder; of what it writes, `lives` bytes arrive. Resolves when that is spent. */
  hold(lives = Infinity): { end: Duplex; died: Promise<void> } {
    this.#holder?.abort(new Error("died"));
    const [end, inner] = duplexPair();
    this.#holder = inner;
    this.#toHolder = inner.writable.getWriter();
    this.#toHolder.closed.catch(() => {});
    const died = this.#up(inner, lives);
    return { end, died };
  }

  close(): void {
    this.#inner.abort(new Error("closed"));
    this.#holder?.abort(new Error("closed"));
  }

  async #up(holder: Duplex, lives: number): Promise<void> {
    await this.#delivery;
    let left = lives;
    try {
      for await (const chunk of holder.readable) {
        const part = chunk.subarray(0, left);
        await (this.#delivery = this.#writer.write(part));
        left -= part.length;
        if (left <= 0) return;
      }
    } catch {
      // Died, or the port is gone.
    }
  }

  async #down(): Promise<void> {
    try {
      for (;;) {
        const { value, done } = await this.#reader.read();
        if (done) return;
        await this.#toHolder?.write(value).catch(() => {});
      }
    } catch {
      // The port is gone.
    }
  }
}

async function roundTrip(mux: Mux, bytes: Uint8Array): Promise<void> {
  const stream = await mux.open(HEADER);
  const [back] = await Promise.all([readAll(stream), writeAll(stream, bytes)]);
  assert.ok(Buffer.from(back).equals(Buffer.from(bytes)));
}

const garbage = fc.array(
  fc.oneof(
    fc.uint8Array({ maxLength: 300 }),
    fc.nat(15).map((n) => SYNC_MAGIC.slice(0, n)),
    fc.nat(23).map((n) => new Uint8Array([...SYNC_MAGIC, ...new Uint8Array(n).fill(3)])),
  ),
  { maxLength: 6 },
);

Deno.test("Garbage before the first SYNC is skipped, even the beginning of a SYNC", async () => {
  await fc.assert(
    fc.asyncProperty(garbage, async (pieces) => {
      const port = new Port();
      for (const piece of pieces) await port.inject(piece);
      const host = createMux(port.fixed, { role: "host" });
      const guest = createMux(port.hold().end, { role: "guest" });
      const served = echo(guest);
      await roundTrip(host, new Uint8Array(5000).fill(9));
      host.close();
      guest.close();
      await served;
      port.close();
    }),
    { numRuns: FULL ? 1000 : 60 },
  );
});

for (const role of ["host", "guest"] as const) {
  const peer = role === "host" ? "guest" : "host";
  Deno.test(`The ${peer} dies in the middle of a frame and starts again: the ${role} finds its feet`, async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.nat(200_000), { minLength: 1, maxLength: 4 }),
        async (lives) => {
          const port = new Port();
          const fixed = muxOver(port.fixed, { role });
          for (const life of lives) {
            // 200 bytes: SYNCs and an open, so that there is a session to lose.
            const { end, died } = port.hold(200 + life);
            const mux = createMux(end, { role: peer });
            const session = await fixed.next({ signal: SIGNAL });
            const sent = new Uint8Array(300_000).map((_, i) => i * 31);
            const stream = await mux.open(HEADER);
            const writing = writeAll(stream, sent).catch(() => {});
            const { stream: mine } = await nextStream(session);
            const received: Uint8Array[] = [];
            const reading = (async () => {
              for await (const chunk of mine.readable) received.push(chunk);
            })();
            await died;
            const next = createMux(port.hold().end, { role: peer });
            const served = echo(next);
            await assert.rejects(
              reading,
              /ended: the (guest|host) (agent restarted|connected anew)/,
            );
            const got = Buffer.concat(received);
            assert.ok(
              got.equals(Buffer.from(sent.subarray(0, got.length))),
              "bytes that nobody sent",
            );
            mux.close();
            await writing;
            await roundTrip(await fixed.next({ signal: SIGNAL }), sent);
            next.close();
            await served;
          }
          fixed.close();
          port.close();
        },
      ),
      { numRuns: FULL ? 200 : 12 },
    );
  });
}

Deno.test("Closing a session on a carrier that lives on gives both sides a new one", async () => {
  const [a, b] = duplexPair();
  const host = muxOver(a, { role: "host" });
  const guest = muxOver(b, { role: "guest" });
  for (let i = 0; i < 20; i++) {
    const [mine, theirs] = await Promise.all([newest(host), newest(guest)]);
    const served = echo(theirs);
    await roundTrip(mine, new Uint8Array(1000 * i));
    (i % 2 === 0 ? mine : theirs).close();
    await Promise.all([mine.closed, theirs.closed, served]);
  }
  host.close();
  await guest.closed;
});

function newest(carrier: MuxCarrier): Promise<Mux> {
  return carrier.next({ signal: SIGNAL });
}

Deno.test("A session waits for a peer that comes late, and a wait ends by its signal", async () => {
  const port = new Port();
  const host = muxOver(port.fixed, { role: "host" });
  const stop = new AbortController();
  const waiting = host.next({ signal: stop.signal });
  stop.abort(new Error("long enough"));
  await assert.rejects(waiting, /long enough/);
  const late = host.next({ signal: SIGNAL });
  const guest = createMux(port.hold().end, { role: "guest" });
  const served = echo(guest);
  await roundTrip(await late, new Uint8Array([1]));
  host.close();
  await assert.rejects(host.next(), { code: "cancelled" });
  guest.close();
  await served;
  port.close();
});

Deno.test("A port that echoes our own bytes is no peer", async () => {
  const echoing = new TransformStream<Uint8Array, Uint8Array>({
    transform: (chunk, to) => to.enqueue(chunk.slice()),
  });
  const mux = createMux(
    { readable: echoing.readable, writable: echoing.writable, abort: () => {} },
    { role: "host" },
  );
  const ping = mux.ping({ signal: AbortSignal.abort(new Error("no peer")) });
  await assert.rejects(ping, /no peer/);
  mux.close();
});
