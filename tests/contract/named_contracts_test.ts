/**
 * Each named contract is a test whose name carries its number, so that anyone can find the proof:
 * `grep -rn CTR-D004 tests`. This keeps the list whole when tests move.
 */
import assert from "node:assert/strict";

const TESTS = new URL("../", import.meta.url).pathname;

function numbered(prefix: string, last: number): string[] {
  return Array.from({ length: last }, (_, i) => `${prefix}${String(i + 1).padStart(3, "0")}`);
}

Deno.test("Every named contract has a test whose name carries its number", async () => {
  const named = new Set<string>();
  for await (const file of testFiles(TESTS)) {
    const text = await Deno.readTextFile(file);
    // The first string after the call: the test's name, whatever the wrapper is called.
    for (const [, name] of text.matchAll(/\b\w*[tT]est\(\s*(["`](?:[^"`\\]|\\.)*["`])/g)) {
      for (const [number] of name.matchAll(/\b(?:INV|CTR)-D\d{3}\b/g)) named.add(number);
    }
  }
  const wanted = [...numbered("INV-D", 8), ...numbered("CTR-D", 19)];
  assert.deepEqual(wanted.filter((number) => !named.has(number)), []);
  assert.deepEqual([...named].filter((number) => !wanted.includes(number)), []);
});

async function* testFiles(folder: string): AsyncGenerator<string> {
  for await (const { name, isDirectory } of Deno.readDir(folder)) {
    if (isDirectory) yield* testFiles(`${folder}${name}/`);
    else if (name.endsWith("_test.ts")) yield `${folder}${name}`;
  }
}
