import assert from "node:assert/strict";
import { systemClock } from "../../../src/base/clock.ts";
import { longTimer, timeoutSignal, type Timers } from "../../../src/base/long_timer.ts";
import { patientTimer } from "../../../src/base/patient_timer.ts";
import { lateness } from "../../../src/cli/lateness.ts";

const HOUR_MS = 3_600_000;

/** The platform's timers as they are: past 2^31 - 1 ms they ring after 1 ms. Rings all that is set. */
class Turned implements Timers {
  nowMs = 0;
  #set = new Map<number, { ring: () => void; at: number }>();
  #next = 0;

  set(ring: () => void, ms: number): number {
    this.#set.set(this.#next, { ring, at: this.nowMs + (ms > 2 ** 31 - 1 ? 1 : ms) });
    return this.#next++;
  }

  clear(timer: unknown): void {
    this.#set.delete(timer as number);
  }

  turn(): void {
    for (const [timer, { ring, at }] of this.#set) {
      this.#set.delete(timer);
      this.nowMs = at;
      return ring();
    }
  }

  get armed(): number {
    return this.#set.size;
  }
}

for (const hours of [0, 1, 596, 600, 24 * 365]) {
  Deno.test(`longTimer: ${hours} h are ${hours} h`, () => {
    const timers = new Turned();
    let rang: number | undefined;
    longTimer(hours * HOUR_MS, () => rang = timers.nowMs, timers);
    while (timers.armed > 0) timers.turn();
    assert.equal(rang, hours * HOUR_MS);
  });
}

Deno.test("longTimer: cancelled in a later part, it does not ring", () => {
  const timers = new Turned();
  const timer = longTimer(2000 * HOUR_MS, () => assert.fail("it rang"), timers);
  timers.turn();
  timer.cancel();
  timer.cancel();
  assert.equal(timers.armed, 0);
});

/** What a timer that cannot count so far would do at once. */
Deno.test("600 hours are not over at once, whoever waits for them", async () => {
  const stop = new AbortController();
  let over = "";
  using late = lateness({ globals: { timeoutMs: 600 * HOUR_MS } as never }, "status");
  late.never.catch(() => over = "lateness");
  using signal = timeoutSignal(600 * HOUR_MS);
  signal.signal.addEventListener("abort", () => over = "timeoutSignal");
  const timer = patientTimer(600 * HOUR_MS, () => over = "patientTimer");
  const slept = systemClock.sleep(600 * HOUR_MS, { signal: stop.signal }).then(
    () => over = "sleep",
    () => {},
  );
  // Longer than the 1 ms after which a timer rings that overflowed, and set after all of them.
  for (let i = 0; i < 5; i++) await new Promise((resolve) => setTimeout(resolve, 2));
  assert.equal(over, "");
  timer.cancel();
  stop.abort();
  await slept;
});
