import assert from "node:assert/strict";
import {
  type EventBody,
  formatEvent,
  type MachineEvent,
  parseEvent,
  replay,
} from "../../../src/protocol/machine_events.ts";

const numbered = (bodies: EventBody[], from = 1): MachineEvent[] =>
  bodies.map((body, i) => ({ v: 1, seq: from + i, at: "2026-01-01T00:00:00Z", ...body }));
const phase = (name: string, ready?: boolean): EventBody => ({
  kind: "phase",
  phase: name,
  from: "absent",
  text: name,
  owner: "detached",
  first_boot: "done",
  ...(ready === undefined ? {} : { ready }),
});
const forward: EventBody = {
  kind: "forward",
  bind: "127.0.0.1",
  host: 8080,
  guest: 80,
  proto: "tcp",
  state: "listening",
};

Deno.test("replay: the last words count, and nothing of a guest outlives its power", () => {
  const events = numbered([
    phase("running", true),
    { kind: "agent", state: "up" },
    forward,
    { kind: "service", service: "web", index: 0, state: "running" },
    { kind: "script", script: "system", state: "passed" },
  ]);
  const live = replay(events);
  assert.deepEqual(
    [live.phase, live.ready, live.agent, live.forwards.length, live.services["web/0"]],
    ["running", true, "up", 1, "running"],
  );
  const off = replay([...events, ...numbered([phase("stopped")], 6)]);
  assert.deepEqual([off.phase, off.agent, off.forwards, off.services], [
    "stopped",
    "unknown",
    [],
    {},
  ]);
  assert.equal(off.scripts.system, "passed");
});

Deno.test("replay: numbers that are missing are counted", () => {
  const events = numbered([phase("starting"), phase("running"), forward]);
  assert.equal(replay([events[0], events[2]]).missed, 1);
  assert.equal(replay(events).missed, 0);
});

Deno.test("parseEvent: a line comes back as it was; torn and foreign lines are nothing", () => {
  const [event] = numbered([forward]);
  const line = formatEvent(event);
  assert.deepEqual(parseEvent(line), event);
  for (let cut = 0; cut < line.length; cut++) {
    assert.equal(parseEvent(line.slice(0, cut)), undefined);
  }
  for (const bad of ["null", "[]", "7", '{"v":1}', '{"v":2,"seq":1,"at":"","kind":"note"}']) {
    assert.equal(parseEvent(bad), undefined, bad);
  }
});
