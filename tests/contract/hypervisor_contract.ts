/**
 * What every Hypervisor promises, whoever is behind it. Run on the fake and on libvirt's test driver
 * whole; the QEMU driver's suite adds a guest that speaks (`hypervisor_qemu.ts`).
 */
import assert from "node:assert/strict";
import { RumError } from "../../src/base/errors.ts";
import type { Hypervisor, HypervisorMachine, MachineRef } from "../../src/libvirt/hypervisor.ts";
import { SeenEvents } from "../support/machine_events.ts";
import { rumMark, testXml, tinyRef } from "../support/tiny_machine.ts";

export interface ContractSubject {
  readonly name: string;
  open(): Promise<Hypervisor>;
}

export function hypervisorContract({ name, open }: ContractSubject): void {
  const test = (what: string, body: (hypervisor: Hypervisor) => Promise<void>) =>
    Deno.test(`hypervisor on ${name}: ${what}`, async () => {
      await using hypervisor = await open();
      await body(hypervisor);
    });

  test("a machine is defined, started, paused, resumed, forced off and forgotten", async (h) => {
    const ref = tinyRef();
    const machine = h.machine(ref);
    assert.equal((await machine.status()).state, "absent");
    await machine.define(testXml(ref));
    assert.equal((await machine.status()).state, "off");
    await machine.start();
    assert.deepEqual(await machine.status(), { state: "running", reason: "booted" });
    await machine.pause();
    assert.deepEqual(await machine.status(), { state: "paused", reason: "user" });
    await machine.resume();
    assert.deepEqual(await machine.status(), { state: "running", reason: "resumed" });
    await machine.forceOff();
    assert.deepEqual(await machine.status(), { state: "off", reason: "forced_off" });
    await machine.undefine();
    assert.equal((await machine.status()).state, "absent");
  });

  test("verbs that ask for what is so already succeed", async (h) => {
    await using machine = await running(h);
    await machine.start();
    await machine.resume();
    await machine.pause();
    await machine.pause();
    await machine.forceOff();
    await machine.forceOff();
    await machine.undefine();
    await machine.undefine();
  });

  test("the power button stops a machine whose guest reacts", async (h) => {
    await using machine = await running(h);
    await machine.shutdown();
    assert.deepEqual(await machine.status(), { state: "off", reason: "shutdown" });
    await refused("not_running", machine.shutdown());
    await refused("not_running", machine.pause());
    await refused("not_running", machine.reboot());
    await refused("not_running", machine.screenshot());
  });

  test("what libvirt does not know is machine_not_found, from every verb that needs it", async (h) => {
    const machine = h.machine(tinyRef());
    for (
      const verb of ["start", "shutdown", "forceOff", "pause", "resume", "xml", "stats"] as const
    ) {
      await refused("machine_not_found", machine[verb]());
    }
  });

  test("a namesake that rum did not make is never touched, whatever the verb", async (h) => {
    const theirs = tinyRef();
    // Same name, another UUID: defined through a handle that owns it, then approached by a stranger.
    await h.machine(theirs).define(testXml(theirs));
    await h.machine(theirs).start();
    const before = await h.machine(theirs).xml();
    const stranger: MachineRef = { name: theirs.name, uuid: crypto.randomUUID(), id: "0badc0de" };
    await everyVerbRefuses(h.machine(stranger), testXml(stranger));
    assert.equal(await h.machine(theirs).xml(), before);
    assert.equal((await h.machine(theirs).status()).state, "running");
    await h.machine(theirs).forceOff();
    await h.machine(theirs).undefine();
  });

  test("the same UUID without rum's mark, or with another id, is never touched", async (h) => {
    const marks = [
      "",
      rumMark("deadbeef"),
      "<metadata><x:machine xmlns:x='urn:x' id='0badc0de'/></metadata>",
    ];
    for (const mark of marks) {
      const mine: MachineRef = { ...tinyRef(), id: "0badc0de" };
      // Whoever made it went past rum: its own mark is absent, or another's.
      const other = { ...mine, id: "deadbeef" };
      await h.machine(mine).define(testXml(mine, { mark }));
      await everyVerbRefuses(h.machine(mine), testXml(mine));
      if (mark === rumMark("deadbeef")) await h.machine(other).undefine();
    }
  });

  test("XML that is none is refused with the reason, and nothing is defined", async (h) => {
    const machine = h.machine(tinyRef());
    await refused("hypervisor_error", machine.define("<domain><name>x</name>"));
    assert.equal((await machine.status()).state, "absent");
  });

  test("a machine that is off is renamed; its handle finds it by UUID", async (h) => {
    const ref = tinyRef();
    await h.machine(ref).define(testXml(ref));
    await h.machine(ref).rename(`${ref.name}-new`);
    const renamed = h.machine({ ...ref, name: `${ref.name}-new` });
    assert.match(await renamed.xml(), /rum-t-/);
    assert.equal((await h.machine(ref).status()).state, "off");
    await renamed.undefine();
  });

  test("a watcher sees the state at once, then every change with its reason", async (h) => {
    const ref = tinyRef();
    const machine = h.machine(ref);
    using seen = new SeenEvents(machine);
    await seen.until({ kind: "state", state: "absent" });
    await machine.define(testXml(ref));
    await seen.until({ kind: "state", state: "off" });
    await machine.start();
    await seen.until({ kind: "lifecycle", event: "started", detail: "booted" });
    await seen.until({ kind: "state", state: "running" });
    await machine.pause();
    await seen.until({ kind: "state", state: "paused", reason: "user" });
    await machine.forceOff();
    await seen.until({ kind: "lifecycle", event: "stopped", detail: "forced_off" });
    await seen.until({ kind: "state", state: "off", reason: "forced_off" });
    await machine.undefine();
    await seen.until({ kind: "state", state: "absent" }, { from: 1 });
  });

  test("a screenshot is a picture, counters have names", async (h) => {
    await using machine = await running(h);
    const { mime, bytes } = await machine.screenshot();
    assert.equal(mime, "image/png");
    assert.deepEqual([...bytes.subarray(0, 4)], [0x89, 0x50, 0x4e, 0x47]);
    assert.equal((await machine.stats())["state.state"], 1);
  });

  test("seventeen keys at once are refused", async (h) => {
    await using machine = await running(h);
    await refused("invalid_params", machine.sendKeys(Array(17).fill(28)));
  });

  test("a call whose signal is aborted ends at once with that reason", async (h) => {
    const machine = h.machine(tinyRef());
    const reason = new RumError("interrupted", "Ctrl+C");
    await assert.rejects(
      machine.status({ signal: AbortSignal.abort(reason) }),
      (error) => error === reason,
    );
  });

  test("after close nothing hangs: calls are refused", async (h) => {
    const machine = h.machine(tinyRef());
    await h.close();
    await h.close();
    await assert.rejects(machine.status(), RumError);
  });
}

async function everyVerbRefuses(machine: HypervisorMachine, xml: string): Promise<void> {
  const live = { live: true, config: false };
  const verbs: Record<string, () => Promise<unknown>> = {
    status: () => machine.status(),
    define: () => machine.define(xml),
    undefine: () => machine.undefine(),
    start: () => machine.start(),
    shutdown: () => machine.shutdown(),
    forceOff: () => machine.forceOff(),
    pause: () => machine.pause(),
    resume: () => machine.resume(),
    reboot: () => machine.reboot(),
    rename: () => machine.rename("rum-stolen"),
    xml: () => machine.xml(),
    openConsole: () => machine.openConsole(),
    openChannel: () => machine.openChannel("org.rum.agent.0"),
    screenshot: () => machine.screenshot(),
    sendKeys: () => machine.sendKeys([28]),
    stats: () => machine.stats(),
    monitorCommand: () => machine.monitorCommand({ execute: "quit" }),
    setMemory: () => machine.setMemory(1 << 28),
    attachDevice: () => machine.attachDevice("<disk/>", live),
    detachDevice: () => machine.detachDevice("<disk/>", live),
    updateDevice: () => machine.updateDevice("<disk/>", live),
    resizeBlock: () => machine.resizeBlock("vda", 1 << 30),
  };
  for (const [verb, call] of Object.entries(verbs)) {
    await refused("foreign_machine", call(), verb);
  }
}

export async function refused(code: string, call: Promise<unknown>, what = ""): Promise<RumError> {
  try {
    await call;
  } catch (error) {
    assert.ok(error instanceof RumError, `${what}: ${error}`);
    assert.equal(error.code, code, `${what}: ${error.message}`);
    return error;
  }
  assert.fail(`${what}: wanted ${code}, and it succeeded`);
}

/** A machine that runs, and is gone at the end of the test. */
async function running(h: Hypervisor): Promise<HypervisorMachine & AsyncDisposable> {
  const ref = tinyRef();
  const machine = h.machine(ref);
  await machine.define(testXml(ref));
  await machine.start();
  return Object.assign(machine, {
    async [Symbol.asyncDispose]() {
      if ((await machine.status()).state === "absent") return;
      await machine.forceOff();
      await machine.undefine();
    },
  });
}
