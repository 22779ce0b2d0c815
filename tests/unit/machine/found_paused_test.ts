/** A machine that a new daemon finds paused, and what its agent's first hello means. */
import assert from "node:assert/strict";
import { newRecord, type RecordPatch } from "../../../src/machine/record.ts";
import { recoverState } from "../../../src/machine/recover.ts";
import type { RequestInput } from "../../../src/machine/run.ts";
import { quiet } from "../../support/fake_machine.ts";
import { machine, seen, UP } from "../../support/live_machine.ts";

const HELLO = { boot_id: "boot-1", first_boot_done: true, version: "1", scripts: {} };
const UP_D = { ...UP, detach: true } as RequestInput;

function found(patch: RecordPatch = { agent: { version: "1", boot_id: "boot-1" } }) {
  const record = newRecord({
    id: "0123abcd",
    uuid: "00000000-0000-5000-8000-000000000000",
    name: "m",
    hypervisorName: "rum-m-0123abcd",
    configPath: "/p/rum.toml",
    rumVersion: "0.1.0",
    now: "2026-01-01T00:00:00Z",
  });
  const { state } = recoverState({
    ...record,
    first_boot: { kind: "done", scripts: {} },
    phase: { kind: "paused", text: "paused (asked)", since: "x" },
    ...patch,
  }, { overlay: true, power: "paused" });
  const made = machine(state);
  const works = () => made.ports.calls.map((call) => call.split(" ")[0]);
  const rebooted = () => made.events.filter((e) => e.kind === "guest" && e.what === "rebooted");
  return { ...made, works, rebooted };
}

Deno.test("found paused: the boot of a greeting is on record for whoever finds the machine", async () => {
  const { controller, ports } = machine();
  await controller.request(UP);
  assert.deepEqual(
    ports.saves.map((save) => save.agent).filter((agent) => agent !== undefined),
    [{ version: "1", boot_id: "boot-1" }],
  );
});

Deno.test("found paused: resumed, the agent of the same boot is asked whether the machine is ready, and nothing else", async () => {
  const { controller, works, rebooted, phase } = found();
  assert.equal((await controller.request({ kind: "resume", client: "x" })).did, "resumed");
  controller.observe({ kind: "agent_up", hello: HELLO });
  await quiet();
  assert.deepEqual([works(), rebooted()], [["resume", "await_ready"], []]);
  assert.equal(phase(), "running (detached, ready)");
});

Deno.test("found paused: an agent that is there before the resume has ended is no less there", async () => {
  const { controller, ports, works, rebooted, phase } = found();
  const resume = ports.hold("resume");
  const asked = seen(controller.request({ kind: "resume", client: "x" }));
  await quiet();
  controller.observe({ kind: "agent_up", hello: HELLO });
  await quiet();
  await resume.end();
  assert.equal((await asked).did, "resumed");
  assert.deepEqual([works(), rebooted()], [["resume", "await_ready"], []]);
  assert.equal(phase(), "running (detached, ready)");
});

Deno.test("found paused: so it is when somebody else resumes it", async () => {
  const { controller, works, phase } = found();
  controller.observe({ kind: "agent_up", hello: HELLO });
  controller.observe({ kind: "resumed_seen" });
  await quiet();
  assert.deepEqual(works(), ["await_ready"]);
  assert.equal(phase(), "running (detached, ready)");
});

Deno.test("found paused: up resumes it, takes the plan over with its agent, and is ready", async () => {
  const { controller, ports, works, rebooted, phase } = found();
  const apply = ports.hold("apply");
  const up = seen(controller.request(UP_D));
  await quiet();
  controller.observe({ kind: "agent_up", hello: HELLO });
  await quiet();
  await apply.end();
  assert.equal((await up).did, "ready");
  assert.deepEqual([works(), rebooted()], [["resume", "apply", "await_ready", "restore"], []]);
  assert.equal(phase(), "running (detached, ready)");
});

Deno.test("found paused: a guest that rebooted meanwhile is greeted anew, and that is said once", async () => {
  const { controller, works, rebooted, phase } = found();
  await controller.request({ kind: "resume", client: "x" });
  controller.observe({ kind: "agent_up", hello: { ...HELLO, boot_id: "boot-2" } });
  await quiet();
  assert.deepEqual(works(), ["resume", "provision", "await_ready"]);
  assert.equal(rebooted().length, 1);
  assert.equal(phase(), "running (detached, ready)");
});

Deno.test("found paused: a boot that no record names is gone through without the word of a reboot", async () => {
  for (const when of ["resuming", "applying"] as const) {
    const { controller, ports, works, rebooted, phase } = found({});
    const work = ports.hold(when === "resuming" ? "resume" : "apply");
    const up = seen(controller.request(UP_D));
    await quiet();
    controller.observe({ kind: "agent_up", hello: HELLO });
    // Its link breaks for a moment: it is no better known by that.
    controller.observe({ kind: "agent_lost", detail: "closed" });
    controller.observe({ kind: "agent_up", hello: HELLO });
    await quiet();
    await work.end();
    assert.equal((await up).did, "ready");
    const greeted = ["greet", "provision", "await_ready"];
    assert.deepEqual(
      works(),
      when === "resuming" ? ["resume", ...greeted] : ["resume", "apply", ...greeted],
    );
    assert.deepEqual(rebooted(), []);
    assert.equal(phase(), "running (detached, ready)");
  }
});
