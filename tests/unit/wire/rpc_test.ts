import assert from "node:assert/strict";
import fc from "fast-check";
import { RumError } from "../../../src/base/errors.ts";
import { anything, integer, object } from "../../../src/protocol/shape.ts";
import { encodeFrame, FrameReader, FrameWriter } from "../../../src/wire/frames.ts";
import { duplexPair } from "../../../src/wire/pipe.ts";
import { RpcClient } from "../../../src/wire/rpc_client.ts";
import { OfferQueue } from "../../../src/wire/rpc_queue.ts";
import { type CallIo, method, type MethodTable } from "../../../src/wire/rpc_types.ts";
import { clientOver, rawOver } from "../../support/rpc_pair.ts";
import { testMethods } from "../../support/test_daemon.ts";

const code = (name: string) => (error: unknown) => error instanceof RumError && error.code === name;

const isTerminal = (frame: Record<string, unknown>) => "result" in frame || "error" in frame;

Deno.test("CTR-D009 every request gets exactly one terminal frame, after its events, whatever happens", async () => {
  const behaviours: MethodTable = {
    good: method({ params: anything(), kind: "read", handle: () => ({ fine: true }) }),
    throws: method({
      params: anything(),
      kind: "stream",
      handle: () => {
        throw new Error("a defect");
      },
    }),
    events: method({
      params: anything(),
      kind: "stream",
      async handle(_, _p, io) {
        io.offer("offered");
        await io.emit("emitted");
      },
    }),
    stubborn: method({
      params: anything(),
      kind: "stream",
      handle: (_, _p, io) =>
        new Promise((resolve) => io.signal.onabort = () => setTimeout(resolve, 40)),
    }),
    circular: method({
      params: anything(),
      kind: "read",
      handle() {
        const loop: Record<string, unknown> = {};
        loop.loop = loop;
        return loop;
      },
    }),
    huge: method({ params: anything(), kind: "read", handle: () => "x".repeat(17 * 1024 * 1024) }),
    late: method({
      params: anything(),
      kind: "mutation",
      survivesDisconnect: true,
      handle: () => new Promise((resolve) => setTimeout(resolve, 30)),
    }),
    strict: method({ params: object({ n: integer() }), kind: "read", handle: (_, { n }) => n }),
  };
  const names = [...Object.keys(behaviours), "unknown"];
  await fc.assert(
    fc.asyncProperty(
      fc.array(
        fc.record({
          method: fc.constantFrom(...names),
          deadline_ms: fc.option(fc.integer({ min: 1, max: 30 }), { nil: undefined }),
          cancel: fc.boolean(),
        }),
        { minLength: 1, maxLength: 12 },
      ),
      async (requests) => {
        const raw = rawOver(behaviours, { graceMs: 5 });
        const answered = Promise.withResolvers<void>();
        const open = new Set(requests.keys());
        const reading = raw.rest((frame) => {
          if (isTerminal(frame)) open.delete((frame.id as number) - 1);
          if (open.size === 0) answered.resolve();
        });
        for (const [i, { cancel, ...request }] of requests.entries()) {
          await raw.send({ id: i + 1, params: {}, ...request });
          // Without it `stubborn` would have no reason to end.
          if (cancel || request.method === "stubborn") {
            await raw.send({ notify: "cancel", id: i + 1 });
          }
        }
        await answered.promise;
        await raw.server.idle();
        await raw.end();
        const frames = await reading;
        for (const i of requests.keys()) {
          const own = frames.filter((frame) => frame.id === i + 1);
          assert.equal(own.filter(isTerminal).length, 1, JSON.stringify(own));
          assert.ok(isTerminal(own.at(-1)!), "nothing follows a terminal frame");
          const seqs = own.filter((frame) => "seq" in frame).map((frame) => frame.seq);
          assert.deepEqual(seqs, seqs.map((_, n) => n + 1));
        }
        assert.equal(frames.filter((frame) => frame.id === undefined).length, 0);
      },
    ),
    { numRuns: Deno.env.get("FULL") ? 300 : 40 },
  );
});

Deno.test("CTR-D010 an error carries code, name, message and hint", async () => {
  const raw = rawOver({
    fails: method({
      params: anything(),
      kind: "read",
      handle() {
        throw new RumError("port_in_use", "Port 80 is taken", { hint: "rum port rm 80" });
      },
    }),
  });
  await raw.send({ id: 7, method: "fails" });
  assert.deepEqual(await raw.next(), {
    id: 7,
    error: { code: 6, name: "port_in_use", message: "Port 80 is taken", hint: "rum port rm 80" },
  });
  await raw.end();
});

for (
  const [what, frame, name] of [
    ["an array", [1], "protocol_error"],
    ["no method", { id: 1 }, "protocol_error"],
    ["a negative id", { id: -1, method: "echo" }, "protocol_error"],
    ["an unknown notification", { notify: "shout", id: 1 }, "protocol_error"],
    [
      "a request over 1 MiB",
      { id: 1, method: "echo", params: "x".repeat(1024 * 1024) },
      "too_large",
    ],
  ] as const
) {
  Deno.test(`INV-D008 ${what} gets one error frame, then the connection closes`, async () => {
    const raw = rawOver(testMethods(), { capacity: 4 * 1024 * 1024 });
    await raw.send(frame);
    const frames = await raw.rest();
    await raw.served;
    assert.deepEqual(frames.map((each) => (each.error as { name: string }).name), [name]);
  });
}

Deno.test("an id in use by a running call is a protocol error", async () => {
  const raw = rawOver(testMethods());
  await raw.send({ id: 1, method: "sleep", params: { ms: 60_000 } });
  await raw.send({ id: 1, method: "echo" });
  const frames = await raw.rest();
  assert.match((frames.at(-1)?.error as { message: string }).message, /in use/);
  await raw.served;
});

Deno.test("a seventeenth call is refused as busy, and answered, while sixteen run", async () => {
  await using over = clientOver(testMethods());
  const stop = new AbortController();
  const running = Array.from(
    { length: 16 },
    () =>
      over.client.request("sleep", { ms: 60_000 }, { signal: stop.signal }).catch((e) => e.code),
  );
  await assert.rejects(over.client.request("echo", {}), code("busy"));
  stop.abort();
  assert.deepEqual(await Promise.all(running), Array(16).fill("cancelled"));
  assert.deepEqual(await over.client.request("echo", { back: 1 }), { back: 1 });
});

Deno.test("unknown methods and wrong parameters are refused by name", async () => {
  await using over = clientOver(testMethods());
  await assert.rejects(over.client.request("nope"), /no method "nope"/);
  await assert.rejects(over.client.request("ticks", { count: "many" }), code("invalid_params"));
  await assert.rejects(over.client.request("toString"), code("method_not_found"));
});

Deno.test("a deadline ends a call that does not keep it, and its signal says why", async () => {
  const reasons: unknown[] = [];
  await using over = clientOver({
    deaf: method({
      params: anything(),
      kind: "stream",
      handle: (_, _p, io) =>
        new Promise((resolve) => {
          io.signal.onabort = () => {
            reasons.push(io.signal.reason.code);
            setTimeout(resolve, 100);
          };
        }),
    }),
  });
  await assert.rejects(over.client.request("deaf", {}, { deadlineMs: 10 }), code("timeout"));
  assert.deepEqual(reasons, ["timeout"]);
  await over.server.idle();
});

Deno.test("exec and cp streams lose nothing when their reader is slow, and hold nothing beyond it", async () => {
  let emitted = 0;
  await using over = clientOver({
    produce: method({
      params: anything(),
      kind: "stream",
      async handle(_, _p, io) {
        for (let n = 0; n < 200; n++) {
          await io.emit({ n, data: "x".repeat(8 * 1024) });
          emitted++;
        }
      },
    }),
  }, { capacity: 32 * 1024 });
  const seen: number[] = [];
  let furthest = 0;
  await over.client.request("produce", {}, {
    async onEvent(event) {
      seen.push((event as { n: number }).n);
      await new Promise((resolve) => setTimeout(resolve, 0));
      furthest = Math.max(furthest, emitted - seen.length);
    },
  });
  assert.deepEqual(seen, Array.from({ length: 200 }, (_, n) => n));
  assert.ok(furthest < 32, `the handler was ${furthest} events ahead of its reader`);
});

Deno.test("input waits for its handler: no more than the window is under way", async () => {
  const gate = Promise.withResolvers<void>();
  let taken = 0;
  await using over = clientOver({
    drink: method({
      params: anything(),
      kind: "stream",
      async handle(_, _p, io) {
        await gate.promise;
        for await (const chunk of io.input) taken += chunk.length;
        return { taken };
      },
    }),
  }, { capacity: 4 * 1024 * 1024 });
  let offered = 0;
  const input = new ReadableStream<Uint8Array>({
    pull(controller) {
      if (offered >= 1024 * 1024) return controller.close();
      controller.enqueue(new Uint8Array(32 * 1024));
      offered += 32 * 1024;
    },
  }, { highWaterMark: 0 });
  const done = over.client.request("drink", {}, { input });
  for (let i = 0; i < 50; i++) await new Promise((resolve) => setTimeout(resolve, 0));
  assert.ok(offered <= 256 * 1024 + 64 * 1024, `${offered} bytes were drawn from the source`);
  gate.resolve();
  assert.deepEqual(await done, { taken: 1024 * 1024 });
});

Deno.test("a client that overruns the input window broke the protocol", async () => {
  const raw = rawOver({
    hold: method({
      params: anything(),
      kind: "stream",
      handle: (_, _p, io) =>
        new Promise((_, reject) => io.signal.onabort = () => reject(io.signal.reason)),
    }),
  }, { capacity: 4 * 1024 * 1024 });
  await raw.send({ id: 1, method: "hold" });
  const data = new Uint8Array(64 * 1024).toBase64();
  for (let i = 0; i < 5; i++) await raw.send({ notify: "input", id: 1, data }).catch(() => {});
  const error = (await raw.next())?.error as { name: string; message: string };
  assert.equal(error.name, "protocol_error");
  assert.match(error.message, /window/);
  await raw.served;
});

Deno.test("what is offered to a reader that stands still is dropped oldest first, and counted", async () => {
  const gate = Promise.withResolvers<void>();
  const sent: unknown[] = [];
  const queue = new OfferQueue(async (event) => {
    await gate.promise;
    sent.push(event);
  }, { maxItems: 10, maxBytes: 1_000_000 });
  for (let n = 1; n <= 100; n++) {
    queue.add(n);
    if (n === 1) await Promise.resolve().then(() => {}).then(() => {});
  }
  gate.resolve();
  await queue.drained();
  assert.deepEqual(sent, [
    1,
    { type: "dropped", count: 89 },
    91,
    92,
    93,
    94,
    95,
    96,
    97,
    98,
    99,
    100,
  ]);
});

Deno.test("a disconnect aborts streams and reads; an accepted down runs on", async () => {
  const heard: string[] = [];
  const finished = Promise.withResolvers<void>();
  const wait = (name: string) => (_: unknown, _p: unknown, io: CallIo) =>
    new Promise((_, reject) => {
      io.signal.addEventListener("abort", () => {
        heard.push(`${name} ${io.signal.reason.code}`);
        reject(io.signal.reason);
      });
    });
  const raw = rawOver({
    exec: method({ params: anything(), kind: "stream", handle: wait("exec") }),
    read: method({ params: anything(), kind: "read", handle: wait("read") }),
    down: method({
      params: anything(),
      kind: "mutation",
      survivesDisconnect: true,
      async handle(context, _p, io) {
        await new Promise<void>((resolve) => context.disconnected.onabort = () => resolve());
        await io.emit({ phase: "off" });
        heard.push(`down aborted: ${io.signal.aborted}`);
        finished.resolve();
      },
    }),
  });
  for (const [i, name] of ["exec", "read", "down"].entries()) {
    await raw.send({ id: i, method: name });
  }
  await raw.end();
  await finished.promise;
  assert.deepEqual(heard.sort(), ["down aborted: false", "exec cancelled", "read cancelled"]);
});

Deno.test("a mutation never waits for a client that does not read", async () => {
  const ended = Promise.withResolvers<void>();
  const raw = rawOver({
    up: method({
      params: anything(),
      kind: "mutation",
      async handle(_, _p, io) {
        for (let n = 0; n < 5000; n++) await io.emit({ n, text: "x".repeat(1000) });
        ended.resolve();
      },
    }),
  }, { capacity: 1024 });
  await raw.send({ id: 1, method: "up" });
  await ended.promise;
  await raw.end();
});

Deno.test("a request on a connection that ends is told why, and so is the next one", async () => {
  const over = clientOver(testMethods());
  const pending = over.client.request("sleep", { ms: 60_000 });
  await over[Symbol.asyncDispose]();
  await assert.rejects(pending, code("cancelled"));
  await assert.rejects(over.client.request("echo"), code("cancelled"));
});

Deno.test("A server that dies inside a frame is gone; it did not break the protocol", async () => {
  const [near, far] = duplexPair();
  const client = new RpcClient({
    reader: new FrameReader(near.readable),
    writer: new FrameWriter(near.writable),
  });
  const asked = client.request("exec");
  const writer = far.writable.getWriter();
  await writer.write(encodeFrame({ id: 1, result: "x".repeat(100) }).subarray(0, 50));
  await writer.close();
  await assert.rejects(asked, { code: "daemon_failed" });
  far.abort();
});
