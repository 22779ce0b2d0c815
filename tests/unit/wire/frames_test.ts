import assert from "node:assert/strict";
import fc from "fast-check";
import { RumError } from "../../../src/base/errors.ts";
import { nestsDeeperThan } from "../../../src/wire/depth.ts";
import { decodeBody, encodeFrame, FRAME, FrameReader } from "../../../src/wire/frames.ts";

const bytes = (text: string) => new TextEncoder().encode(text);

function streamOf(chunks: Uint8Array[]): ReadableStream<Uint8Array> {
  return ReadableStream.from(chunks.filter((chunk) => chunk.length > 0));
}

function cut(whole: Uint8Array, sizes: readonly number[]): Uint8Array[] {
  const parts: Uint8Array[] = [];
  let at = 0;
  for (let i = 0; at < whole.length; i++) {
    const size = Math.max(1, sizes[i % Math.max(1, sizes.length)] ?? whole.length);
    parts.push(whole.slice(at, at + size));
    at += size;
  }
  return parts;
}

const code = (name: string) => (error: unknown) => error instanceof RumError && error.code === name;

Deno.test("frames come back as they were sent, however the stream was cut", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.jsonValue(), { maxLength: 5 }),
      fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 20 }),
      async (values, sizes) => {
        const frames = values.map((value) => encodeFrame(value));
        const whole = new Uint8Array(frames.reduce((n, f) => n + f.length, 0));
        frames.reduce((at, f) => (whole.set(f, at), at + f.length), 0);
        const reader = new FrameReader(streamOf(cut(whole, sizes)));
        const back: unknown[] = [];
        for (let frame = await reader.next(); frame; frame = await reader.next()) {
          back.push(frame.value);
        }
        assert.deepEqual(back, values.map((value) => JSON.parse(JSON.stringify(value))));
      },
    ),
  );
});

Deno.test("a frame of 200 KiB in single bytes is read, and what follows it too", async () => {
  const value = { text: "é".repeat(100 * 1024) };
  const frame = encodeFrame(value);
  const reader = new FrameReader(
    streamOf([...cut(frame, [1]), encodeFrame({ next: true })]),
  );
  assert.deepEqual((await reader.next())?.value, value);
  assert.deepEqual((await reader.next())?.value, { next: true });
  assert.equal(await reader.next(), undefined);
});

Deno.test("INV-D007 a length over the limit is refused before its body is asked for", async () => {
  const head = new Uint8Array([0x01, 0x00, 0x00, 0x01]);
  let pulls = 0;
  const stream = new ReadableStream<Uint8Array>({
    pull(controller) {
      if (++pulls > 1) throw new Error("The body was asked for");
      controller.enqueue(head);
    },
  }, { highWaterMark: 0 });
  await assert.rejects(new FrameReader(stream).next(), code("too_large"));
  assert.equal(pulls, 1);
});

Deno.test("INV-D007 exactly 16 MiB pass and one byte more does not, in both directions", async () => {
  const most = "x".repeat(FRAME.maxBytes - 2);
  const frame = encodeFrame(most);
  assert.equal(
    ((await new FrameReader(streamOf([frame])).next())?.value as string).length,
    most.length,
  );
  assert.throws(() => encodeFrame(most + "x"), code("too_large"));
});

Deno.test("INV-D007 nesting over 64 is found before parsing; 64 pass", () => {
  const nested = (depth: number) => bytes("[".repeat(depth) + "]".repeat(depth));
  assert.doesNotThrow(() => decodeBody(nested(64)));
  assert.throws(() => decodeBody(nested(65)), code("protocol_error"));
  assert.throws(() => decodeBody(new Uint8Array(FRAME.maxBytes).fill(0x5b)), /deeper than 64/);
});

Deno.test("the depth scan agrees with a parser on every JSON value", () => {
  const depthOf = (value: unknown): number =>
    typeof value !== "object" || value === null
      ? 0
      : 1 + Math.max(0, ...Object.values(value).map(depthOf));
  fc.assert(
    fc.property(
      fc.jsonValue({ maxDepth: 6, noUnicodeString: false }),
      fc.integer({ min: 0, max: 8 }),
      (value, max) => {
        const depth = depthOf(value);
        assert.equal(nestsDeeperThan(bytes(JSON.stringify(value)), max), depth > max);
        assert.equal(nestsDeeperThan(bytes(JSON.stringify(value, null, 2)), max), depth > max);
      },
    ),
  );
});

Deno.test("brackets inside strings are not nesting, whatever quotes and backslashes surround them", () => {
  for (const text of ['"[[["', '"\\"[[["', '"\\\\"', '{"[\\"[":"]["}', '["\\\\\\"[["]']) {
    JSON.parse(text);
    assert.equal(nestsDeeperThan(bytes(text), 1), false, text);
  }
});

for (
  const [what, body, pattern] of [
    ["not JSON", bytes("{oops"), /not JSON/],
    ["not UTF-8", new Uint8Array([0x22, 0xff, 0x22]), /not UTF-8/],
    ["empty", new Uint8Array(0), /not JSON/],
    ["a byte order mark", new Uint8Array([0xef, 0xbb, 0xbf, 0x31]), /not JSON/],
  ] as const
) {
  Deno.test(`a body that is ${what} is a protocol error`, () => {
    assert.throws(() => decodeBody(body), pattern);
  });
}

Deno.test("an end inside a head or a body is told from an end between frames", async () => {
  const frame = encodeFrame({ a: 1 });
  for (let at = 1; at < frame.length; at++) {
    await assert.rejects(
      new FrameReader(streamOf([frame.slice(0, at)])).next(),
      /ended inside a frame/,
    );
  }
  assert.equal(await new FrameReader(streamOf([])).next(), undefined);
});

Deno.test("peek shows the first byte and takes nothing", async () => {
  const reader = new FrameReader(streamOf([bytes("pi"), bytes("ng\r\nrest")]));
  assert.equal(await reader.peek(), 0x70);
  assert.equal(await reader.line(64), "ping");
  await assert.rejects(
    new FrameReader(streamOf([bytes("x".repeat(65))])).line(64),
    code("too_large"),
  );
});
