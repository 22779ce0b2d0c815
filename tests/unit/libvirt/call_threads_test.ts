import assert from "node:assert/strict";
import { CallFailed, CallThreads } from "../../../src/libvirt/call_threads.ts";

/** Deno names a worker's thread by its number. */
function workers(): number {
  let count = 0;
  for (const { name } of Deno.readDirSync("/proc/self/task")) {
    try {
      if (Deno.readTextFileSync(`/proc/self/task/${name}/comm`).startsWith("worker-")) count++;
    } catch {
      // Ended between the look and the read.
    }
  }
  return count;
}

Deno.test("calls that meet share a thread: starting one takes longer than nearly every call", async () => {
  const missing = { libvirt: "libnothing-of-rum.so.0", qemu: "libnothing-of-rum.so.0" };
  const before = workers();
  const threads = new CallThreads(missing);
  try {
    const open = (uri: string) =>
      threads.call("open", { uri }, { deadlineMs: 60_000, doing: "open" });
    await assert.rejects(open("test:///first"), CallFailed);
    for (let round = 0; round < 2; round++) {
      const answers = await Promise.allSettled(["test:///a", "test:///b", "test:///c"].map(open));
      for (const answer of answers) {
        assert.equal(answer.status, "rejected");
        assert.ok(answer.reason instanceof CallFailed, String(answer.reason));
        assert.equal(answer.reason.failure.kind, "library_missing");
      }
    }
    // One; a host that stood still for a moment may have made it two.
    assert.ok(workers() - before < 3);
  } finally {
    threads.close();
  }
});
