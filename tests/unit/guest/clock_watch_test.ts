import assert from "node:assert/strict";
import type { Clock } from "../../../src/base/clock.ts";
import { ClockWatch } from "../../../src/guest/clock_watch.ts";

/** A host whose two clocks are moved by hand. */
function host(): Clock & { pass(ms: number): void; sleepFor(ms: number): void } {
  let wall = 1_000_000;
  let monotonic = 0;
  return {
    now: () => new Date(wall),
    monotonicMs: () => monotonic,
    sleep: () => Promise.reject(new Error("nobody sleeps here")),
    pass(ms) {
      wall += ms;
      monotonic += ms;
    },
    sleepFor: (ms) => void (wall += ms),
  };
}

Deno.test("the guest's clock is looked after once a host slept, and not before", () => {
  const clock = host();
  const watch = new ClockWatch(clock);
  clock.pass(3_600_000);
  assert.equal(watch.stoodStill(false), false);
  clock.sleepFor(60_000);
  assert.equal(watch.stoodStill(false), true);
  clock.pass(2500);
  assert.equal(watch.stoodStill(false), false);
});

Deno.test("a pause counts when it ends, once, also when the host slept during it", () => {
  const clock = host();
  const watch = new ClockWatch(clock);
  clock.pass(2500);
  assert.equal(watch.stoodStill(true), false);
  clock.sleepFor(60_000);
  assert.equal(watch.stoodStill(true), false);
  assert.equal(watch.stoodStill(false), true);
  assert.equal(watch.stoodStill(false), false);
});

Deno.test("a hello from a guest that is behind or ahead is off, one within two seconds is not", () => {
  const clock = host();
  const watch = new ClockWatch(clock);
  const now = clock.now().getTime();
  assert.deepEqual(
    [now - 60_000, now + 60_000, now - 2000, now + 2000, now].map((ms) => watch.isOff(ms)),
    [true, true, false, false, false],
  );
});
