import assert from "node:assert/strict";
import { untilDetached } from "../../../src/cli/console.ts";

async function passed(chunks: number[][], terminal: boolean): Promise<[number[], boolean]> {
  let detached = false;
  const input = ReadableStream.from(chunks.map((chunk) => Uint8Array.from(chunk)));
  const output = untilDetached(input, terminal, () => detached = true);
  const bytes: number[] = [];
  for await (const chunk of output) bytes.push(...chunk);
  return [bytes, detached];
}

Deno.test("console: Ctrl+] leaves, and what was typed before it is passed on", async () => {
  assert.deepEqual(await passed([[1, 2], [3, 0x1d, 4], [5]], true), [[1, 2, 3], true]);
  assert.deepEqual(await passed([[0x1d]], true), [[], true]);
  assert.deepEqual(await passed([[3], [4]], true), [[3, 4], false]);
});

Deno.test("console: in a pipe every byte is data", async () => {
  assert.deepEqual(await passed([[1, 0x1d, 2]], false), [[1, 0x1d, 2], false]);
});
