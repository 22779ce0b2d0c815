import assert from "node:assert/strict";
import { newRecord, type RecordPatch } from "../../../src/machine/record.ts";
import { recoverState } from "../../../src/machine/recover.ts";
import { describePhase, firstBootOf, UNKNOWN_BOOT } from "../../../src/machine/state.ts";

const BASE = newRecord({
  id: "0123abcd",
  uuid: "00000000-0000-5000-8000-000000000000",
  name: "m",
  hypervisorName: "rum-m-0123abcd",
  configPath: "/p/rum.toml",
  rumVersion: "0.1.0",
  now: "2026-01-01T00:00:00Z",
});
const phase = (kind: NonNullable<RecordPatch["phase"]>["kind"], text: string = kind) => ({
  phase: { kind, text, since: "2026-01-01T00:00:00Z" },
});
const UNDER_WAY = { first_boot: { kind: "under_way", operation: "op-1" } } as const;
const DONE = { first_boot: { kind: "done", scripts: {} } } as const;
const DRIVES = { drives: [{ name: "data", serial: "rum-data", size_bytes: 1 }] };

/** name, record, disk there?, power → state, first boot, what is taken up. */
const TABLE: [
  string,
  RecordPatch,
  boolean,
  "off" | "running" | "paused",
  string,
  string,
  string?,
][] = [
  ["nothing was made", {}, false, "off", "absent", "not_begun"],
  ["only drives of before", DRIVES, false, "off", "stopped (as_found)", "not_begun"],
  [
    "died before the disk was visible",
    { ...UNDER_WAY, ...phase("preparing") },
    false,
    "off",
    "absent",
    "not_begun",
  ],
  [
    "died in a first boot, off",
    { ...UNDER_WAY, ...phase("starting") },
    true,
    "off",
    "stopped (as_found)",
    "ended",
  ],
  [
    "died in a first boot, running",
    { ...UNDER_WAY, ...phase("provisioning") },
    true,
    "running",
    "stopped (as_found)",
    "ended",
    "greet",
  ],
  ["a disk that no record knows of", {}, true, "off", "stopped (as_found)", "done"],
  [
    "died while running",
    { ...DONE, ...phase("running") },
    true,
    "running",
    "stopped (as_found)",
    "done",
    "greet",
  ],
  [
    "the host was rebooted",
    { ...DONE, ...phase("running") },
    true,
    "off",
    "stopped (as_found)",
    "done",
  ],
  [
    "paused on request",
    { ...DONE, ...phase("paused", "paused (asked)") },
    true,
    "paused",
    "paused (asked)",
    "done",
  ],
  [
    "paused by somebody",
    { ...DONE, ...phase("running") },
    true,
    "paused",
    "paused (from_outside)",
    "done",
  ],
  [
    "died in a wipe",
    { ...UNDER_WAY, ...phase("stopping") },
    true,
    "off",
    "stopped (as_found)",
    "ended",
  ],
  [
    "died while destroying",
    { ...DONE, ...phase("destroying") },
    true,
    "running",
    "stopped (as_found)",
    "done",
    "destroy",
  ],
  [
    "destroy got stuck",
    { ...DONE, ...phase("stuck"), desired: "destroyed" },
    true,
    "off",
    "stopped (as_found)",
    "done",
    "destroy",
  ],
];

for (const [name, patch, overlay, power, wanted, fact, takeUp] of TABLE) {
  Deno.test(`recoverState: ${name}`, () => {
    const recovered = recoverState({ ...BASE, ...patch }, { overlay, power });
    assert.equal(describePhase(recovered.state), wanted);
    assert.equal(firstBootOf(recovered.state).kind, fact);
    assert.equal(recovered.takeUp, takeUp);
  });
}

Deno.test("recoverState: a failure that was recorded is still told", () => {
  const cause = { code: "provision_failed", message: 'Script "system" failed' } as const;
  const { state } = recoverState({
    ...BASE,
    ...DONE,
    phase: { kind: "failed", text: "failed", since: "x", cause },
  }, { overlay: true, power: "off" });
  assert.ok(state.kind === "failed" && state.cause.message === cause.message);
});

Deno.test("recoverState: a failure of a machine that still runs is left as it is, and nothing is taken up", () => {
  const cause = { code: "provision_failed", message: 'Script "system" failed' } as const;
  const first_boot = { kind: "ended", why: "script_failed" } as const;
  const failed = (power: string) => ({
    ...BASE,
    first_boot,
    phase: { kind: "failed", text: `failed (provision_failed, ${power})`, since: "x", cause },
  } as const);
  const found = { overlay: true, power: "running" } as const;
  const { state, takeUp } = recoverState(failed("running"), found);
  assert.ok(state.kind === "failed" && state.power === "running");
  assert.deepEqual([state.cause, state.first_boot, takeUp], [cause, first_boot, undefined]);
  // It was off, and somebody switched it on since: that is a machine found running.
  const switchedOn = recoverState(failed("off"), found);
  assert.deepEqual([switchedOn.state.kind, switchedOn.takeUp], ["stopped", "greet"]);
});

Deno.test("recoverState: the boot of a paused machine is known when its scripts were gone through", () => {
  const agent = { version: "1", boot_id: "boot-1" };
  const bootOf = (record: RecordPatch) => {
    const { state } = recoverState({ ...BASE, ...DONE, ...record }, {
      overlay: true,
      power: "paused",
    });
    return state.kind === "paused" ? state.agent.boot_id : assert.fail(state.kind);
  };
  assert.equal(bootOf({ agent, ...phase("paused", "paused (asked)") }), "boot-1");
  assert.equal(bootOf({ agent, ...phase("running") }), "boot-1");
  assert.equal(bootOf({ agent, ...phase("provisioning") }), UNKNOWN_BOOT);
  assert.equal(bootOf(phase("running")), UNKNOWN_BOOT);
});

Deno.test("recoverState: no record is no machine", () => {
  assert.deepEqual(recoverState(undefined, { overlay: false, power: "off" }), {
    state: { kind: "absent" },
  });
});
