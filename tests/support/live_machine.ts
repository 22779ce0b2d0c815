/** A controller over ports that answer at once, and what tests ask of it. */
import assert from "node:assert/strict";
import type { RumError } from "../../src/base/errors.ts";
import { createMachineController, type RequestInput } from "../../src/machine/run.ts";
import { DEFAULT_RULES } from "../../src/machine/step.ts";
import { describePhase, type MachineState } from "../../src/machine/state.ts";
import type { EventBody } from "../../src/protocol/machine_events.ts";
import { fakeClock, fakePorts } from "./fake_machine.ts";
import { DONE } from "./machine_states.ts";

export function machine(
  initial: MachineState = { kind: "absent" },
  rules: Partial<typeof DEFAULT_RULES> = {},
) {
  const clock = fakeClock();
  const ports = fakePorts();
  const events: EventBody[] = [];
  let operations = 0;
  const controller = createMachineController({
    ports,
    clock,
    initial,
    emit: (event) => events.push(event),
    newOperation: () => `op-${++operations}`,
    rules: () => ({ ...DEFAULT_RULES, ...rules }),
  });
  const phase = () => describePhase(controller.snapshot().state);
  return { clock, ports, events, controller, phase };
}

export const UP: RequestInput = { kind: "up", client: "me", detach: false, attach: false };
export const DOWN: RequestInput = {
  kind: "down",
  client: "other",
  force: false,
  timeoutMs: 60_000,
};
export const code = (wanted: string) => (e: RumError) => (assert.equal(e.code, wanted), true);
/** Observed from the start, so that no rejection is ever unhandled. */
export function seen<T>(promise: Promise<T>) {
  promise.catch(() => {});
  return promise;
}

/** A script failed in a later boot; the machine runs on. */
export const FAILED_LATER: MachineState = {
  kind: "failed",
  cause: { code: "provision_failed", message: "Script boot failed" },
  power: "running",
  owner: { kind: "detached" },
  first_boot: DONE,
  cleaning: false,
};
