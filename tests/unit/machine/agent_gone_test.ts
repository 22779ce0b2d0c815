/** An agent that goes away while scripts run: only another boot's hello makes a reboot of it. */
import assert from "node:assert/strict";
import { RumError } from "../../../src/base/errors.ts";
import type { RequestInput } from "../../../src/machine/run.ts";
import type { MachineState } from "../../../src/machine/state.ts";
import { LOSSES_MAX, REBOOTS_MAX } from "../../../src/machine/step_boot.ts";
import { code, FAILED_LATER, machine, seen, UP } from "../../support/live_machine.ts";
import { DONE } from "../../support/machine_states.ts";

const STOPPED: MachineState = { kind: "stopped", first_boot: DONE, how: "as_found" };
const UP_D = { ...UP, detach: true } as RequestInput;

/** Its scripts end `times` times with the agent gone; `bootOf` says which boot each hello is of. */
function losing(times: number, bootOf: (hello: number) => string, initial = STOPPED) {
  const made = machine(initial);
  const { ports, events } = made;
  const scopes: string[] = [];
  let hellos = 0;
  ports.guest.greet = () =>
    Promise.resolve({
      boot_id: bootOf(hellos++),
      first_boot_done: true,
      version: "1",
      scripts: {},
    });
  ports.guest.provision = ({ scope }) => {
    scopes.push(scope);
    return scopes.length <= times
      ? Promise.reject(new RumError("agent_restarted", "The guest agent went away"))
      : Promise.resolve({ scripts: {} });
  };
  const rebooted = () => events.filter((e) => e.kind === "guest" && e.what === "rebooted").length;
  return { ...made, scopes, rebooted };
}

Deno.test("up: an agent that was restarted under its scripts is no reboot, and what is due goes on", async () => {
  const { controller, scopes, rebooted } = losing(LOSSES_MAX, () => "boot-1");
  assert.equal((await controller.request(UP_D)).did, "ready");
  assert.deepEqual(scopes, Array(LOSSES_MAX + 1).fill("due"));
  assert.equal(rebooted(), 0);
});

Deno.test("up: an agent that goes away again and again ends it in words of its own", async () => {
  const { controller, rebooted, phase } = losing(LOSSES_MAX + 1, () => "boot-1");
  await assert.rejects(controller.request(UP_D), (e: RumError) => {
    assert.equal(e.message, "The guest agent went away 11 times while the machine was provisioned");
    return e.code === "agent_restarted";
  });
  assert.equal(rebooted(), 0);
  assert.equal(phase(), "failed (agent_restarted, running)");
});

Deno.test("up: a reboot that only the next hello tells of is told and counted once", async () => {
  const { controller, rebooted } = losing(1, (hello) => `boot-${hello}`);
  assert.equal((await controller.request(UP_D)).did, "ready");
  assert.equal(rebooted(), 1);
});

Deno.test("up: a guest that reboots for ever is given up by count", async () => {
  const { controller, rebooted } = losing(REBOOTS_MAX + 1, (hello) => `boot-${hello}`);
  await assert.rejects(controller.request(UP_D), (e: RumError) => {
    assert.equal(e.message, "The guest rebooted 11 times while it was provisioned");
    return e.code === "provision_failed";
  });
  assert.equal(rebooted(), REBOOTS_MAX + 1);
});

Deno.test("up: reboots and lost agents are counted apart, and anew in the next run", async () => {
  const times = REBOOTS_MAX + LOSSES_MAX;
  // Every second hello is of the boot before.
  const { controller, scopes, rebooted } = losing(times, (hello) => `boot-${hello >> 1}`);
  assert.equal((await controller.request(UP_D)).did, "ready");
  assert.equal(rebooted(), REBOOTS_MAX);
  scopes.length = 0;
  await controller.request({ kind: "restart", client: "x", timeoutMs: 1000 });
  assert.equal(rebooted(), REBOOTS_MAX * 2);
});

Deno.test("provision of a failed machine: an agent that goes away under System scripts fails it by name", async () => {
  const { controller, rebooted } = losing(1, () => "boot-1", FAILED_LATER);
  const request = { kind: "provision", client: "x", scope: "system" } as const;
  await assert.rejects(seen(controller.request(request)), (e: RumError) => {
    assert.match(e.message, /^The guest agent went away while "provision" was under way/);
    return code("agent_restarted")(e);
  });
  assert.equal(rebooted(), 0);
});
