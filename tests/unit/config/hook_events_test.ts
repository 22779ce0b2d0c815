/** Which hook an event of the machine fires, if any. */
import assert from "node:assert/strict";
import { HOOK_EVENTS, hookEventOf } from "../../../src/config/hook_events.ts";
import type { EventBody, MachineEvent } from "../../../src/protocol/machine_events.ts";

const head = { v: 1, seq: 1, at: "2026-01-01T00:00:00Z" } as const;
const event = (body: EventBody): MachineEvent => ({ ...head, ...body });

function phase(from: string, to: string, ready?: boolean): MachineEvent {
  return event({
    kind: "phase",
    phase: to,
    from,
    text: to,
    owner: "detached",
    first_boot: "done",
    ready,
  });
}

const FIRED: readonly (readonly [string, MachineEvent, boolean, string | undefined])[] = [
  ["a phase that is entered", phase("absent", "preparing"), false, "preparing"],
  ["a stage inside a phase", phase("starting", "starting"), false, undefined],
  ["running, not yet ready", phase("provisioning", "running", false), false, undefined],
  ["becoming ready", phase("running", "running", true), false, "ready"],
  ["staying ready", phase("running", "running", true), true, undefined],
  ["a reboot", event({ kind: "guest", what: "rebooted", text: "" }), true, "rebooted"],
  ["a lost agent", event({ kind: "agent", state: "lost" }), true, "agent_lost"],
  [
    "a service given up",
    event({ kind: "service", service: "a", index: 0, state: "fatal" }),
    true,
    "service_fatal",
  ],
  [
    "a service that runs",
    event({ kind: "service", service: "a", index: 0, state: "running" }),
    true,
    undefined,
  ],
  ["a line of output", event({ kind: "note", text: "ready" }), true, undefined],
];

for (const [what, given, wasReady, wanted] of FIRED) {
  Deno.test(`the hook of ${what}`, () => {
    assert.equal(hookEventOf(given, { wasReady }), wanted);
  });
}

Deno.test("no two hooks have one name, and each is a bare TOML key", () => {
  assert.equal(new Set(HOOK_EVENTS).size, HOOK_EVENTS.length);
  for (const name of HOOK_EVENTS) assert.match(name, /^[a-z_]+$/);
});
