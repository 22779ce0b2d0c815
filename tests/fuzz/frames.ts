/**
 * The daemon's frames: broken ones are told by name, and where a stream is cut changes nothing. What
 * comes through is what a JSON parser makes of it.
 */
import assert from "node:assert/strict";
import { RumError } from "../../src/base/errors.ts";
import { encodeFrame, FrameReader } from "../../src/wire/frames.ts";
import { joined, mutated, pieces } from "./mutate.ts";
import type { Target } from "./target.ts";

const VALUES = [
  { hello: { proto: { min: 1, max: 1 }, version: "0", build: "", nonce: "00" } },
  { id: 1, method: "exec", params: { argv: ["sh", "-c", "é\u0000"], stdin: true }, deadline_ms: 5 },
  { id: 1, seq: 2, event: { kind: "line", text: '"[[[{{{\\"' } },
  { id: 1, error: { code: -1, name: "busy", message: "m", hint: "h" } },
  { input: { id: 1, data: "AAAA" } },
  [],
  0,
  null,
  "text",
];
const CORPUS = [
  ...VALUES.map((value) => encodeFrame(value)),
  joined(...VALUES.map((value) => encodeFrame(value))),
];
const WORDS = ["[", "{", "]", "}", '"', "\\", "\\u", "\xff", "\0\0\0\x02{}", "\0\0\0\0"].map((
  text,
) => Uint8Array.from(text, (letter) => letter.charCodeAt(0)));

export const frames: Target = {
  name: "frames",
  async once(random, show) {
    const bytes = mutated(random, CORPUS, WORDS);
    show(bytes);
    const whole = await read([bytes]);
    assert.deepEqual(await read(pieces(random, bytes)), whole);
  },
};

async function read(chunks: readonly Uint8Array[]): Promise<unknown[]> {
  const reader = new FrameReader(ReadableStream.from(chunks.filter((chunk) => chunk.length > 0)));
  const got: unknown[] = [];
  try {
    for (let frame = await reader.next(); frame; frame = await reader.next()) {
      got.push(frame.value);
      assert.deepEqual(JSON.parse(JSON.stringify(frame.value)), frame.value);
    }
    got.push("the end");
  } catch (thrown) {
    if (!(thrown instanceof RumError)) throw thrown;
    assert.ok(thrown.code === "protocol_error" || thrown.code === "too_large", thrown.code);
    got.push(thrown.message);
  }
  return got;
}
