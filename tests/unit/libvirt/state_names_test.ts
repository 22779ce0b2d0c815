/** libvirt's numbers as words: the ones that rum decides by. */
import assert from "node:assert/strict";
import {
  ioErrorName,
  lifecycleName,
  stateName,
  watchdogName,
} from "../../../src/libvirt/state_names.ts";

const STATES: readonly [number, number, string, string][] = [
  [1, 1, "running", "booted"],
  [1, 5, "running", "resumed"],
  [2, 0, "running", "unknown"],
  [3, 1, "paused", "user"],
  [3, 5, "paused", "io_error"],
  [3, 10, "paused", "panicked"],
  [5, 1, "off", "shutdown"],
  [5, 2, "off", "forced_off"],
  [5, 3, "off", "crashed"],
  [6, 1, "crashed", "panicked"],
  [99, 1, "unknown", "unknown"],
  [1, 99, "running", "unknown"],
];

Deno.test("stateName names state and reason, and newer numbers are unknown", () => {
  for (const [state, reason, name, why] of STATES) {
    assert.deepEqual(stateName({ state, reason }), { state: name, reason: why });
  }
});

Deno.test("lifecycleName names what happened and why", () => {
  assert.deepEqual(lifecycleName(2, 0), { event: "started", detail: "booted" });
  assert.deepEqual(lifecycleName(5, 1), { event: "stopped", detail: "forced_off" });
  assert.deepEqual(lifecycleName(3, 2), { event: "paused", detail: "io_error" });
  assert.deepEqual(lifecycleName(8, 0), { event: "crashed", detail: "panicked" });
  assert.deepEqual(lifecycleName(42, 0), { event: "unknown", detail: "unknown" });
});

Deno.test("actions have names", () => {
  assert.equal(ioErrorName(1), "pause");
  assert.equal(watchdogName(2), "reset");
  assert.equal(watchdogName(77), "unknown");
});
