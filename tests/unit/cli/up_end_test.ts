/** How a foreground `up` ends that nobody interrupted: what it says has to be true of the machine. */
import assert from "node:assert/strict";
import { upEnd } from "../../../src/cli/up_end.ts";
import type { EventCause, MachineEvent } from "../../../src/protocol/machine_events.ts";

const phase = (name: string, cause?: EventCause) => ({
  kind: "phase",
  phase: name,
  text: name,
  cause,
});
const guest = (what: string) => ({ kind: "guest", what, text: what });
const died: EventCause = {
  code: "start_failed",
  message: "The machine's QEMU died",
  hint: "rum up",
};

const CASES: readonly (readonly [seen: string, events: readonly unknown[], end: string])[] = [
  ["its daemon let go", [phase("over")], "left, 0"],
  ["its daemon let go while it was paused", [phase("paused"), phase("over")], "left, 0"],
  ["the connection ended before any word of it", [], "left, 0"],
  ["somebody stopped it", [phase("stopping"), phase("stopped")], "stopped, 0"],
  [
    "somebody destroyed it",
    [phase("destroying"), guest("destroyed"), phase("over")],
    "destroyed, 0",
  ],
  [
    "its new first boot was interrupted elsewhere",
    [phase("starting"), phase("stopping"), guest("wiped"), phase("over")],
    "wiped, 0",
  ],
  [
    "the same, where drives are kept",
    [phase("stopping"), guest("wiped"), phase("stopped")],
    "wiped, 0",
  ],
  ["its QEMU died", [guest("crashed"), phase("failed", died), phase("over")], "start_failed, 9"],
  [
    "a failure that somebody mended",
    [phase("failed", died), phase("running"), phase("over")],
    "left, 0",
  ],
  [
    "a failed machine that somebody stopped",
    [phase("failed", died), phase("stopping"), phase("stopped")],
    "stopped, 0",
  ],
  ["its daemon let go half-way", [phase("preparing"), phase("over")], "daemon_failed, 7"],
];

for (const [seen, events, wanted] of CASES) {
  Deno.test(`up ends: ${seen}: ${wanted}`, () => {
    const end = upEnd();
    const ends = events.map((event) => end.event(event as MachineEvent));
    // It goes on until the last of them, and not a moment longer.
    assert.deepEqual(ends, events.map((_, i) => i === events.length - 1));
    assert.equal(told(end), wanted);
  });
}

function told(end: ReturnType<typeof upEnd>): string {
  try {
    const { did, code } = end.result();
    return `${did}, ${code}`;
  } catch (thrown) {
    const { code, exitCode } = thrown as { code: string; exitCode: number };
    return `${code}, ${exitCode}`;
  }
}
