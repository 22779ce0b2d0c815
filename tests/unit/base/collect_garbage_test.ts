import assert from "node:assert/strict";
import { AGENT_V8_FLAGS } from "../../../src/base/runtime_flags.ts";
import { LEAN } from "../../../src/daemon/self_command.ts";

const PROGRAM = `
import { GarbageCollector } from ${
  JSON.stringify(new URL("../../../src/base/collect_garbage.ts", import.meta.url).href)
};
const garbage = new GarbageCollector();
garbage.look();
const before = Deno.memoryUsage().heapUsed;
let kept = [];
for (let n = 0; n < 300_000; n++) kept.push({ n, text: "x" + n });
kept = [];
const full = Deno.memoryUsage().heapUsed;
garbage.look();
const after = Deno.memoryUsage().heapUsed;
let asked = 0;
globalThis.gc &&= () => asked++;
garbage.look();
console.log(JSON.stringify({ before, full, after, asked }));
`;

for (
  const [who, flags] of [["the agent", AGENT_V8_FLAGS], ["the daemon", LEAN.DENO_V8_FLAGS]] as const
) {
  Deno.test(`garbage goes when ${who} looks after itself, and nothing is done for nothing`, async () => {
    const { before, full, after, asked } = await run(flags);
    assert.ok(full > before + 2 ** 21, `${full} bytes in use, ${before} before`);
    assert.ok(after < before + 2 ** 20, `${after} bytes in use, ${before} before`);
    assert.equal(asked, 0);
  });
}

Deno.test("where V8 does not offer it, garbage is V8's own affair", async () => {
  assert.equal((await run("--optimize-for-size")).asked, 0);
});

async function run(v8Flags: string) {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["eval", "--quiet", `--v8-flags=${v8Flags}`, PROGRAM],
    stdout: "piped",
    stderr: "piped",
  }).output();
  assert.equal(code, 0, new TextDecoder().decode(stderr));
  return JSON.parse(new TextDecoder().decode(stdout));
}
