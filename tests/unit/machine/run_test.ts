import assert from "node:assert/strict";
import { RumError } from "../../../src/base/errors.ts";
import { createMachineController, type RequestInput } from "../../../src/machine/run.ts";
import { DEFAULT_RULES } from "../../../src/machine/step.ts";
import type { EventBody } from "../../../src/protocol/machine_events.ts";
import { fakeClock, fakePorts, quiet } from "../../support/fake_machine.ts";
import { code, DOWN, machine, seen, UP } from "../../support/live_machine.ts";
import { DONE } from "../../support/machine_states.ts";

/** The trace: what followers are told, and what is asked of the ports, as they happen. */
function story(events: readonly EventBody[], calls: readonly string[]): string {
  const told = events.map((e) => {
    switch (e.kind) {
      case "phase":
        return `${e.text} [${e.owner}, first boot ${e.first_boot}]`;
      case "operation":
        return `${e.what} ${e.state}${e.outcome === undefined ? "" : `: ${e.outcome}`}`;
      case "guest":
      case "warning":
        return `! ${e.text}`;
      default:
        return `  ${e.kind}`;
    }
  });
  return [...told, "", ...calls].join("\n");
}

Deno.test("a life: up, ready, Ctrl+C, off", async (t) => {
  const { controller, events, ports } = machine();
  assert.equal((await controller.request(UP)).did, "ready");
  const end = await controller.request({ kind: "interrupt", client: "me" });
  assert.deepEqual([end.did, end.exit], ["stopped", 0]);
  await t.assertSnapshot(story(events, ports.calls));
});

Deno.test("a life: Ctrl+C in the first boot wipes, and says so", async (t) => {
  const { controller, events, ports } = machine();
  const greet = ports.hold("greet");
  const up = seen(controller.request(UP));
  await quiet();
  assert.equal(greet.context().operation, "op-1");
  const end = await controller.request({ kind: "interrupt", client: "me" });
  assert.deepEqual([end.did, end.exit], ["wiped", 130]);
  await assert.rejects(up, code("interrupted"));
  await controller.closed;
  await t.assertSnapshot(story(events, ports.calls));
});

Deno.test("a life: a failed script, tried again, done", async (t) => {
  const { controller, events, ports } = machine();
  ports.fail("provision", new RumError("provision_failed", 'Script "system" failed with 3'));
  await assert.rejects(controller.request(UP), (e: RumError) => e.exitCode === 10);
  assert.equal((await controller.request({ kind: "interrupt", client: "me" })).did, "left");
  assert.equal((await controller.request(UP)).did, "ready");
  await t.assertSnapshot(story(events, ports.calls));
});

Deno.test("a life: a stubborn guest is forced off after its time, and that is said", async (t) => {
  const { controller, events, ports, clock } = machine({
    kind: "stopped",
    first_boot: DONE,
    how: "as_found",
  });
  await controller.request({ ...UP, detach: true } as RequestInput);
  ports.hold("shut_down");
  const down = controller.request(DOWN);
  await quiet();
  await clock.advance(60_000);
  assert.equal((await down).did, "forced");
  await t.assertSnapshot(story(events, ports.calls));
});

Deno.test("twenty parallel ups are one up, and all are answered", async () => {
  const { controller, ports } = machine();
  const ups = Array.from(
    { length: 20 },
    (_, i) => controller.request({ kind: "up", client: `c${i}`, detach: true, attach: false }),
  );
  assert.deepEqual(new Set((await Promise.all(ups)).map((o) => o.did)), new Set(["ready"]));
  assert.equal(ports.calls.filter((c) => c.startsWith("launch")).length, 1);
});

Deno.test("down pre-empts a long script, waits for its clean-up, and deletes nothing", async () => {
  const { controller, ports } = machine();
  const scripts = ports.hold("provision");
  const up = seen(controller.request(UP));
  await quiet();
  const context = scripts.context();
  const down = await controller.request(DOWN);
  assert.equal(context.signal.aborted, true);
  assert.equal(down.did, "stopped");
  await assert.rejects(up, code("interrupted"));
  assert.ok(!ports.calls.some((c) => c.startsWith("wipe") || c.startsWith("remove")));
  const { state } = controller.snapshot();
  assert.ok(state.kind === "stopped" && state.first_boot.kind === "ended");
});

Deno.test("destroy wins over a down that waits for its guest", async () => {
  const { controller, ports } = machine();
  await controller.request({ ...UP, detach: true } as RequestInput);
  ports.hold("shut_down");
  const down = seen(controller.request(DOWN));
  await quiet();
  assert.equal(
    (await controller.request({ kind: "destroy", client: "x" })).did,
    "destroyed",
  );
  assert.equal((await down).did, "stopped");
  assert.deepEqual(ports.calls.slice(-2), ["force_off op-3", "remove op-3"]);
});

Deno.test("a write-ahead that fails keeps the disk from becoming visible", async () => {
  const { controller, ports, phase } = machine();
  const gather = ports.hold("gather");
  const up = seen(controller.request(UP));
  await quiet();
  ports.fail("save", new RumError("disk_full", "No space"));
  await gather.end();
  await assert.rejects(up, code("disk_full"));
  assert.equal(phase(), "failed (disk_full, off)");
  assert.ok(!ports.calls.some((c) => c.startsWith("publish")));
});

Deno.test("the first-boot fact is on record before the disk, and done before [ready]", async () => {
  const { controller, ports } = machine();
  await controller.request(UP);
  const facts = ports.saves.map((s) => s.first_boot).filter((f) => f !== undefined);
  assert.deepEqual(facts, [
    { kind: "under_way", operation: "op-1" },
    { kind: "done", scripts: { system: "hash" } },
  ]);
});

Deno.test("work that ignores its cancel is given up after the grace, by name", async () => {
  const { controller, ports, clock, events } = machine();
  const never = Promise.withResolvers<never>();
  ports.guest.greet = () => never.promise;
  const up = seen(controller.request(UP));
  await quiet();
  const down = controller.request(DOWN);
  await quiet();
  await clock.advance(15_000);
  assert.equal((await down).did, "stopped");
  await assert.rejects(up, code("interrupted"));
  assert.ok(events.length > 0);
});

Deno.test("a guest agent that never comes is a time-out that ends the first boot", async () => {
  const { controller, ports, clock } = machine();
  ports.hold("greet");
  const up = seen(controller.request(UP));
  await quiet();
  await clock.advance(10 * 60_000);
  await assert.rejects(
    up,
    (e: RumError) => e.exitCode === 124 && e.message.includes("the guest agent"),
  );
  const { state } = controller.snapshot();
  assert.ok(state.kind === "failed" && state.first_boot.kind === "ended");
});

Deno.test("up: a QEMU that died before its launch had ended fails it at once, and no agent is waited for", async () => {
  const { controller, ports, events, phase } = machine();
  const launch = ports.hold("launch");
  const up = seen(controller.request(UP));
  await quiet();
  const off = { kind: "off_seen", how: "crashed", detail: "failed" } as const;
  controller.observe(off);
  await launch.end({ found: off });
  await assert.rejects(up, (e: RumError) => {
    assert.equal(e.message, "The machine went off while it was booting (failed)");
    return e.code === "start_failed";
  });
  controller.observe(off);
  await quiet();
  assert.equal(phase(), "failed (start_failed, off)");
  assert.ok(!ports.calls.some((call) => call.startsWith("greet")));
  assert.equal(events.filter((e) => e.kind === "guest").length, 1, "and that is told once");
});

Deno.test("up: a machine that is paused by its full disk again as soon as it is resumed is failed at once", async () => {
  const { controller, ports, phase } = machine({
    kind: "failed",
    cause: { code: "disk_full", message: "The host's disk is full" },
    power: "running",
    owner: { kind: "detached" },
    first_boot: DONE,
    cleaning: false,
  });
  const launch = ports.hold("launch");
  const up = seen(controller.request(UP));
  await quiet();
  await launch.end({ found: { kind: "paused_seen", why: "io_error" } });
  await assert.rejects(up, code("hypervisor_error"));
  assert.equal(phase(), "failed (hypervisor_error, running)");
});

Deno.test("a restart policy tries again when the new QEMU dies before its launch has ended", async () => {
  const { controller, ports, clock, phase } = machine(
    { kind: "stopped", first_boot: DONE, how: "as_found" },
    { onCrash: "restart" },
  );
  await controller.request({ ...UP, detach: true } as RequestInput);
  controller.observe({ kind: "off_seen", how: "crashed", detail: "killed" });
  const launch = ports.hold("launch");
  await quiet();
  await clock.advance(1000);
  await launch.end({ found: { kind: "off_seen", how: "crashed", detail: "failed" } });
  assert.equal(phase(), "starting (backing_off)");
  await clock.advance(2000);
  assert.equal(phase(), "running (detached, ready)");
});

Deno.test("a crash loop is restarted with a growing pause, then given up", async () => {
  const clock = fakeClock();
  const ports = fakePorts();
  const controller = createMachineController({
    ports,
    clock,
    initial: { kind: "stopped", first_boot: DONE, how: "as_found" },
    emit: () => {},
    rules: () => ({ ...DEFAULT_RULES, onCrash: "restart" }),
  });
  await controller.request({ ...UP, detach: true } as RequestInput);
  for (const pauseMs of [1000, 2000, 4000, 8000, 16_000]) {
    controller.observe({ kind: "off_seen", how: "crashed", detail: "killed" });
    await quiet();
    await clock.advance(pauseMs - 1);
    assert.equal(controller.snapshot().state.kind, "starting", `before ${pauseMs} ms`);
    await clock.advance(1);
    assert.equal(controller.snapshot().state.kind, "running", `after ${pauseMs} ms`);
  }
  controller.observe({ kind: "off_seen", how: "crashed", detail: "killed" });
  await quiet();
  const { state } = controller.snapshot();
  assert.ok(state.kind === "failed" && state.cause.message.includes("6 times within a minute"));
});

Deno.test("an aborted caller stops waiting; the machine is left as it is", async () => {
  const { controller, ports, phase } = machine();
  const greet = ports.hold("greet");
  const caller = new AbortController();
  const up = seen(controller.request(UP, { signal: caller.signal }));
  await quiet();
  caller.abort(new RumError("timeout", "--timeout"));
  await assert.rejects(up, code("timeout"));
  assert.equal(phase(), "starting (greeting)");
  assert.equal(greet.context().signal.aborted, false);
  await greet.end();
  assert.equal(phase(), "running (attached, ready)");
});

Deno.test("no timer is left once everything is over", async () => {
  const { controller, clock } = machine();
  await controller.request(UP);
  await controller.request({ kind: "destroy", client: "me" });
  await controller.closed;
  await quiet();
  assert.equal(clock.sleepers, 0);
});

// --- named contracts ------------------------------------------------------------------------------

Deno.test("INV-D001: shutdown never reverts, and what comes after it is shutting_down", async () => {
  const { controller } = machine();
  await controller.request(UP);
  assert.equal(controller.shutdown.aborted, false);
  assert.equal((await controller.request({ kind: "release" })).did, "released");
  for (const request of [UP, DOWN, { kind: "destroy", client: "x" } as const]) {
    await assert.rejects(controller.request(request), code("shutting_down"));
    controller.observe({ kind: "on_seen" });
    await quiet();
    assert.equal(controller.shutdown.aborted, true);
    assert.equal(controller.snapshot().state.kind, "over");
  }
  await controller.closed;
});

Deno.test("INV-D002: the start time never changes and uptime follows the monotonic clock", async () => {
  const { controller, clock } = machine();
  const { startedAt } = controller;
  await controller.request(UP);
  await clock.advance(5000);
  assert.equal(controller.startedAt, startedAt);
  assert.equal(controller.uptimeMs(), 5000);
});

Deno.test("INV-D003: readers get frozen snapshots whose revision only grows", async () => {
  const { controller } = machine();
  const first = controller.snapshot();
  const later = controller.changed(first.revision);
  await controller.request(UP);
  assert.equal((await later).revision, first.revision + 1);
  const now = controller.snapshot();
  assert.ok(now.revision > first.revision && Object.isFrozen(now.state));
  assert.deepEqual(first.state, { kind: "absent" });
  assert.ok(now.state.kind === "running");
  assert.throws(() => void ((now.state as { run: { why: string } }).run.why = "x"), TypeError);
});

Deno.test("CTR-D001: status and the shutdown check never wait for a mutation", async () => {
  const { controller, ports } = machine();
  ports.recorder.save = () => new Promise(() => {});
  void seen(controller.request(UP));
  await quiet();
  // The pump hangs in a save that never ends; readers do not notice.
  assert.equal(controller.snapshot().state.kind, "preparing");
  assert.equal(controller.shutdown.aborted, false);
});

Deno.test("CTR-D002: a mutation queues to its deadline, then is busy with what since when", async () => {
  const { controller, ports, clock } = machine();
  ports.hold("provision");
  void seen(controller.request(UP));
  await quiet();
  const since = controller.snapshot().operation?.since;
  const pause = seen(controller.request({ kind: "pause", client: "x" }, { queueMs: 3000 }));
  await quiet();
  await clock.advance(3000);
  await assert.rejects(pause, (e: RumError) => {
    assert.deepEqual(e.data, { operation: "up", since });
    return e.code === "busy";
  });
});

Deno.test("CTR-D002: what queued goes on by itself once the machine is free", async () => {
  const { controller, ports, phase } = machine();
  const scripts = ports.hold("provision");
  const up = controller.request(UP);
  const pause = controller.request({ kind: "pause", client: "x" });
  await quiet();
  await scripts.end();
  assert.equal((await up).did, "ready");
  assert.equal((await pause).did, "paused");
  assert.equal(phase(), "paused (asked)");
});

Deno.test("CTR-D002: what queued for somebody who is gone never begins, and says that it did not", async () => {
  const { controller, ports, clock, events, phase } = machine();
  const greet = ports.hold("greet");
  const up = controller.request({ ...UP, detach: true } as RequestInput);
  await quiet();
  const sleepers = clock.sleepers;
  const gone = new RumError("cancelled", "The client is gone", { hint: "rum status" });
  const [queued, unread] = [new AbortController(), new AbortController()];
  const inputs: RequestInput[] = [
    { kind: "pause", client: "x" },
    { kind: "provision", client: "x", scope: "all" },
  ];
  const asked = inputs.map((input) => seen(controller.request(input, { signal: queued.signal })));
  await quiet();
  // Given up before the controller has so much as looked at it.
  asked.push(seen(controller.request(inputs[0], { signal: unread.signal })));
  unread.abort(gone);
  queued.abort(gone);
  for (const request of asked) {
    await assert.rejects(request, (e: RumError) => {
      assert.deepEqual([e.code, e.message, e.hint], [gone.code, gone.message, gone.hint]);
      assert.deepEqual(e.data, { began: false });
      return true;
    });
  }
  await quiet();
  assert.equal(clock.sleepers, sleepers, "the queue's clocks are stopped");
  await greet.end();
  await up;
  await quiet();
  assert.equal(phase(), "running (detached, ready)");
  assert.ok(!ports.calls.some((call) => call.startsWith("pause")));
  assert.ok(!events.some((e) => e.kind === "operation" && e.what !== "up"));
});

Deno.test("a task that began goes on when who asked for it is gone", async () => {
  const { controller, ports, phase } = machine({
    kind: "stopped",
    first_boot: DONE,
    how: "as_found",
  });
  await controller.request({ ...UP, detach: true } as RequestInput);
  const pause = ports.hold("pause");
  const caller = new AbortController();
  const asked = seen(
    controller.request({ kind: "pause", client: "x" }, { signal: caller.signal }),
  );
  await quiet();
  caller.abort(new RumError("cancelled", "The client is gone"));
  await assert.rejects(asked, (e: RumError) => e.code === "cancelled" && e.data === undefined);
  await pause.end();
  assert.equal(phase(), "paused (asked)");
});
