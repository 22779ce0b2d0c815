/** Work on a machine that is up, and what the world does under it: each request has its answer. */
import assert from "node:assert/strict";
import type { RumError } from "../../../src/base/errors.ts";
import type { RequestInput } from "../../../src/machine/run.ts";
import type { MachineState } from "../../../src/machine/state.ts";
import { quiet } from "../../support/fake_machine.ts";
import { code, FAILED_LATER, machine, seen, UP } from "../../support/live_machine.ts";
import { DONE } from "../../support/machine_states.ts";

/** A running machine whose `work` is under way for `request`, as its hypervisor and guest see it. */
async function underWay(
  request: RequestInput,
  work: "pause" | "reprovision" | "provision",
  options: { initial?: MachineState; onCrash?: "none" | "restart" } = {},
) {
  const initial = options.initial ?? { kind: "stopped", first_boot: DONE, how: "as_found" };
  const made = machine(initial, { onCrash: options.onCrash ?? "none" });
  if (initial.kind === "stopped") await made.controller.request({ ...UP, detach: true } as never);
  const held = made.ports.hold(work === "reprovision" ? "provision" : work);
  const answer = seen(made.controller.request(request));
  await quiet();
  held.context();
  return { ...made, held, answer };
}

const REBOOTED = (kind: string) => (e: RumError) => {
  assert.equal(e.message, `The guest rebooted while "${kind}" was under way, so it was called off`);
  return e.code === "agent_restarted" && e.hint === `rum ${kind}` && e.exitCode === 11;
};

for (const kind of ["pause", "provision"] as const) {
  const request: RequestInput = kind === "pause"
    ? { kind, client: "x" }
    : { kind, client: "x", scope: "system" };
  const work = kind === "pause" ? "pause" : "reprovision";

  Deno.test(`${kind}: a guest that reboots under it fails it by name, and comes up again`, async () => {
    const { controller, answer, phase } = await underWay(request, work);
    controller.observe({ kind: "rebooted" });
    await assert.rejects(answer, REBOOTED(kind));
    await quiet();
    assert.equal(phase(), "running (detached, ready)");
  });

  Deno.test(`${kind}: a QEMU that dies under it and is started again fails it by name`, async () => {
    const { controller, answer, clock, phase } = await underWay(request, work, {
      onCrash: "restart",
    });
    controller.observe({ kind: "off_seen", how: "crashed", detail: "killed" });
    await assert.rejects(answer, (e: RumError) => {
      assert.equal(e.message, `"${kind}" was called off: The machine's QEMU died (killed)`);
      return e.code === "start_failed";
    });
    await quiet();
    await clock.advance(1000);
    assert.equal(phase(), "running (detached, ready)");
  });

  Deno.test(`${kind}: a QEMU that dies under it for good fails it`, async () => {
    const { controller, answer } = await underWay(request, work);
    controller.observe({ kind: "off_seen", how: "crashed", detail: "killed" });
    await assert.rejects(answer, code("start_failed"));
  });
}

Deno.test("provision: an agent that comes back with another boot fails it as a reboot does", async () => {
  const { controller, answer } = await underWay(
    { kind: "provision", client: "x", scope: "all" },
    "reprovision",
  );
  const hello = { boot_id: "boot-2", first_boot_done: true, version: "1", scripts: {} };
  controller.observe({ kind: "agent_up", hello });
  await assert.rejects(answer, REBOOTED("provision"));
});

Deno.test("up: an agent lost and back while it is waited for [ready] gets its forwards and services again", async () => {
  const { controller, ports, phase } = machine({
    kind: "stopped",
    first_boot: DONE,
    how: "as_found",
  });
  const ready = ports.hold("await_ready");
  const up = controller.request({ ...UP, detach: true } as RequestInput);
  await quiet();
  const hello = { boot_id: "boot-1", first_boot_done: true, version: "1", scripts: {} };
  controller.observe({ kind: "agent_lost", detail: "silent for 10 s" });
  controller.observe({ kind: "agent_up", hello });
  await quiet();
  const restore = ports.hold("restore");
  await ready.end();
  assert.equal(phase(), "running (detached, ready, restore)");
  await restore.end();
  assert.equal((await up).did, "ready");
  assert.equal(phase(), "running (detached, ready)");
});

Deno.test("provision of a failed machine: a reboot under System scripts that it ran again fails it", async () => {
  for (const scope of ["system", "all"] as const) {
    const { controller, answer, phase } = await underWay(
      { kind: "provision", client: "x", scope },
      "provision",
      { initial: FAILED_LATER },
    );
    controller.observe({ kind: "rebooted" });
    await assert.rejects(answer, REBOOTED("provision"));
    await quiet();
    assert.equal(phase(), "running (detached, ready)");
  }
});

Deno.test("provision of a failed machine: what a reboot leaves due is gone on with, and answers it", async () => {
  const ended = { ...FAILED_LATER, first_boot: { kind: "ended", why: "script_failed" } } as const;
  for (const [initial, scope] of [[FAILED_LATER, "boot"], [ended, "system"]] as const) {
    const { controller, answer } = await underWay(
      { kind: "provision", client: "x", scope },
      "provision",
      { initial },
    );
    controller.observe({ kind: "rebooted" });
    assert.equal((await answer).did, "provisioned");
  }
});

for (const how of ["goes without a word", "is interrupted"] as const) {
  Deno.test(`restart: an owner who ${how} while the machine goes off does not own the next run`, async () => {
    const { controller, ports, events, phase } = machine();
    await controller.request(UP);
    const off = ports.hold("shut_down");
    const restart = controller.request({ kind: "restart", client: "x", timeoutMs: 60_000 });
    await quiet();
    if (how === "is interrupted") {
      assert.equal((await controller.request({ kind: "interrupt", client: "me" })).did, "left");
    } else controller.observe({ kind: "client_left", client: "me", why: "gone" });
    await quiet();
    assert.deepEqual(
      events.filter((e) => e.kind === "owner").map((e) => [e.state, e.client]),
      [["detached", "me"]],
    );
    await off.end();
    assert.equal((await restart).did, "ready");
    assert.equal(phase(), "running (detached, ready)");
  });
}
