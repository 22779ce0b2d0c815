/** Which memory the agent opts out of huge pages: from what /proc says, and of this very process. */
import assert from "node:assert/strict";
import { heaps, keepLean } from "../../../agent/give_back.ts";
import { systemClock } from "../../../src/base/clock.ts";

Deno.test("heaps: every piece of the C library's heap, and nothing else", () => {
  const maps = [
    "00400000-00800000 r-xp 00000000 08:01 12                 /var/lib/rum/agent/x/runtime",
    "01000000-01200000 rw-p 00000000 00:00 0                  [heap]",
    "01200000-01300000 rw-p 00000000 00:00 0                  [heap]",
    "7f0000000000-7f0000200000 rw-p 00000000 00:00 0 ",
    "7ffd00000000-7ffd00021000 rw-p 00000000 00:00 0          [stack]",
    "",
  ].join("\n");
  assert.deepEqual(heaps(maps), [
    { start: 0x1000000n, length: 0x200000n },
    { start: 0x1200000n, length: 0x100000n },
  ]);
  assert.deepEqual(heaps(""), []);
});

// The C library stays open once it was opened, on purpose.
Deno.test({
  name: "keepLean: no huge page for this process's heap after the first round",
  sanitizeResources: false,
}, async () => {
  const stop = new AbortController();
  await keepLean({
    signal: stop.signal,
    clock: {
      ...systemClock,
      sleep: () => {
        stop.abort();
        return Promise.reject(stop.signal.reason);
      },
    },
  });
  const smaps = await Deno.readTextFile("/proc/self/smaps");
  const heap = smaps.split(/^(?=[0-9a-f]+-[0-9a-f]+ )/m).find((each) => each.includes("[heap]"))!;
  assert.match(heap, /^VmFlags:.* nh\b/m);
});
