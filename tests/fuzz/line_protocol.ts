/**
 * What a daemon says to bytes from its socket, and what a client makes of bytes from a daemon. The
 * first: nothing, one line, or frames, and the connection ends. The second: a document or a named error.
 */
import assert from "node:assert/strict";
import { RumError } from "../../src/base/errors.ts";
import { parseAnswer } from "../../src/daemon/ask_line.ts";
import { DaemonServer } from "../../src/daemon/server.ts";
import { LINE_WORDS } from "../../src/protocol/daemon.ts";
import { encodeFrame, FrameReader } from "../../src/wire/frames.ts";
import { duplexPair } from "../../src/wire/pipe.ts";
import type { Random } from "../support/seeded.ts";
import { mutated, pieces } from "./mutate.ts";
import type { Target } from "./target.ts";

const encoder = new TextEncoder();
const ASKED = [
  ...LINE_WORDS.map((word) => encoder.encode(`${word}\n`)),
  encoder.encode("GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
  encodeFrame({
    hello: { proto: { min: 1, max: 1 }, version: "0", build: "", nonce: "00".repeat(32) },
  }),
];
const ANSWERED = [
  'ok {"v":1,"pid":1,"phase":"running"}\n',
  "ok {}\n",
  "error busy Another operation holds the machine\n",
  "error made_up What is that\n",
].map((text) => encoder.encode(text));
const WORDS = ["\n", "\r", " ", "ok ", "error ", "null", "[]", "0", '"', "{", "\0"].map((text) =>
  encoder.encode(text)
);
const ended = new AbortController();

export const lineProtocol: Target = {
  name: "lines",
  once: (random, show) => random.int(2) === 0 ? asked(random, show) : answered(random, show),
};

async function asked(random: Random, show: (input: Uint8Array) => void): Promise<void> {
  const bytes = mutated(random, ASKED, WORDS);
  show(bytes);
  const answer = () => ({ did: "it" });
  const later = () => Promise.resolve(answer());
  const server = new DaemonServer({
    info: { version: "0", build: "", capabilities: [], configHash: () => undefined },
    lines: { ping: answer, status: answer, release: answer, shutdown: later, destroy: later },
    methods: {},
    token: () => Promise.resolve("00".repeat(32)),
    shuttingDown: ended.signal,
    log() {},
  });
  const [ours, theirs] = duplexPair();
  const serving = server.serve(ours);
  const heard: Uint8Array[] = [];
  const hearing = theirs.readable.pipeTo(
    new WritableStream({ write: (chunk) => void heard.push(Uint8Array.from(chunk)) }),
  ).catch(() => {});
  const writer = theirs.writable.getWriter();
  writer.closed.catch(() => {});
  for (const piece of pieces(random, bytes)) await writer.write(piece).catch(() => {});
  await writer.close().catch(() => {});
  await Promise.all([serving, hearing]);
  assert.equal(server.connections, 0);

  if (heard.length === 0) return;
  const said = Uint8Array.from(heard.flatMap((chunk) => [...chunk]));
  if (said[0] === 0x6f || said[0] === 0x65) {
    assert.match(new TextDecoder().decode(said), /^(ok \{.*\}|error [a-z_]+ [^\x00-\x1f]*)\n$/);
    return;
  }
  const reader = new FrameReader(ReadableStream.from([said]));
  let frames = 0;
  for (let frame = await reader.next(); frame; frame = await reader.next()) frames++;
  assert.ok(frames === 1 || frames === 2, `${frames} frames`);
}

function answered(random: Random, show: (input: Uint8Array) => void): void {
  const bytes = mutated(random, ANSWERED, WORDS);
  show(bytes);
  try {
    const document = parseAnswer(new TextDecoder().decode(bytes), "ping");
    assert.ok(typeof document === "object" && document !== null && !Array.isArray(document));
  } catch (thrown) {
    if (!(thrown instanceof RumError)) throw thrown;
  }
}
