import assert from "node:assert/strict";
import { duplexPair } from "../../../src/wire/pipe.ts";

const bytes = (text: string) => new TextEncoder().encode(text);

Deno.test("a duplex pair carries bytes both ways, in order, and half-closes", async () => {
  const [near, far] = duplexPair();
  const writer = near.writable.getWriter();
  await writer.write(bytes("ab"));
  await writer.write(bytes("c"));
  await writer.close();
  assert.equal(await new Response(far.readable).text(), "abc");
  const back = far.writable.getWriter();
  await back.write(bytes("still open"));
  await back.close();
  assert.equal(await new Response(near.readable).text(), "still open");
});

Deno.test("a duplex pair makes a writer wait once its reader is behind", async () => {
  const [near, far] = duplexPair({ capacity: 4 });
  const writer = near.writable.getWriter();
  await writer.write(bytes("1234"));
  let through = false;
  const second = writer.write(bytes("5678")).then(() => through = true);
  await Promise.resolve();
  await new Promise((resolve) => setTimeout(resolve, 0));
  assert.equal(through, false);
  const reader = far.readable.getReader();
  await reader.read();
  await second;
  assert.deepEqual((await reader.read()).value, bytes("5678"));
});

Deno.test("a reset of a duplex pair errors both ends, and a waiting writer", async () => {
  const [near, far] = duplexPair({ capacity: 1 });
  const writer = near.writable.getWriter();
  await writer.write(bytes("x"));
  const waiting = writer.write(bytes("y"));
  waiting.catch(() => {});
  writer.closed.catch(() => {});
  far.abort(new Error("gone"));
  await assert.rejects(writer.closed, /gone/);
  await assert.rejects(far.readable.getReader().read(), /gone/);
  near.abort();
});

Deno.test("a chunk may be reused by its sender once written", async () => {
  const [near, far] = duplexPair();
  const chunk = bytes("one");
  const writer = near.writable.getWriter();
  await writer.write(chunk);
  chunk.fill(0);
  assert.deepEqual((await far.readable.getReader().read()).value, bytes("one"));
});
