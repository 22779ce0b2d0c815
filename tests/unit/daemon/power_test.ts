/**
 * The power switch: no start on a folder that is not the one that was meant; what a launch finds; QEMU's
 * process in the record, by its command line, whoever started it.
 */
import assert from "node:assert/strict";
import { createPower, noteQemu } from "../../../src/daemon/power.ts";
import { RumError } from "../../../src/base/errors.ts";
import type { QemuProcess } from "../../../src/machine/events.ts";
import { fakeClock } from "../../support/fake_machine.ts";

/** Anything with a machine's UUID on its command line, as QEMU has it. */
async function running(uuid: string): Promise<Deno.ChildProcess> {
  const child = new Deno.Command("sh", {
    args: ["-c", "read -r _", "qemu", "-uuid", uuid],
    stdin: "piped",
  }).spawn();
  // The kernel tells of a program's start before its command line can be read.
  while (!(await Deno.readTextFile(`/proc/${child.pid}/cmdline`)).includes(uuid)) {
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  return child;
}

function keeperOf(uuid: string, qemu?: QemuProcess) {
  const saved: unknown[] = [];
  return {
    saved,
    record: { uuid, ...(qemu === undefined ? {} : { qemu }) },
    save(patch: unknown) {
      saved.push(patch);
      return Promise.resolve();
    },
  };
}

Deno.test("noteQemu: the process that runs is recorded, once, in place of one that is gone", async () => {
  const uuid = crypto.randomUUID();
  const absent = keeperOf(uuid);
  await noteQemu(absent);
  assert.deepEqual(absent.saved, [], "nothing runs, nothing is recorded");
  const child = await running(uuid);
  try {
    const stale = keeperOf(uuid, { pid: child.pid, start_time: 1 });
    await noteQemu(stale);
    const [{ qemu }] = stale.saved as { qemu: QemuProcess }[];
    assert.equal(qemu.pid, child.pid);
    assert.ok(qemu.start_time > 1);
    const known = keeperOf(uuid, qemu);
    await noteQemu(known);
    assert.deepEqual(known.saved, []);
  } finally {
    await child.stdin.close();
    await child.status;
  }
});

for (
  const [when, verdicts, asked] of [
    ["before", [false], "networks, look"],
    ["while it started", [true, false], "networks, look, start, look, forceOff"],
    ["never", [true, true], "networks, look, start, look"],
  ] as const
) {
  Deno.test(`launch: a share that became a link ${when}`, async () => {
    const calls: string[] = [];
    const call = (name: string) => () => {
      calls.push(name);
      return Promise.resolve(name === "status" ? { state: "off" } : undefined);
    };
    const machine = { status: call("status"), start: call("start"), forceOff: call("forceOff") };
    const left = [...verdicts];
    const power = createPower({
      machine: () => machine as never,
      networksUp: call("networks") as never,
      requireShares() {
        calls.push("look");
        return left.shift()
          ? Promise.resolve()
          : Promise.reject(new RumError("untrusted_config", "elsewhere"));
      },
      looked: () => {},
      findQemu: () => Promise.resolve(undefined),
      syncTime: () => Promise.resolve(),
      clock: fakeClock(),
    });
    const context = { operation: "o", signal: new AbortController().signal, deadlineMs: 1000 };
    const launched = power.launch(context);
    if (when === "never") await launched;
    else await assert.rejects(launched, { code: "untrusted_config" });
    assert.equal(calls.filter((name) => name !== "status").join(", "), asked);
  });
}

/** A launch of a machine that is `before`, and that is looked at once more when it was started. */
async function launched(before: unknown, after: () => unknown) {
  const trace: string[] = [];
  const looks = [() => before, after];
  const port = createPower({
    machine: () => ({
      status: () => Promise.try(looks.shift() ?? (() => assert.fail("a third look"))),
      start: () => Promise.resolve(void trace.push("start")),
      resume: () => Promise.resolve(void trace.push("resume")),
    }),
    networksUp: () => Promise.resolve(void trace.push("networks")),
    requireShares: () => Promise.resolve(),
    findQemu: () => Promise.resolve(undefined),
    looked: ({ state }: { state: string }) => void trace.push(`looked: ${state}`),
  } as never);
  const signal = new AbortController().signal;
  const result = await port.launch({ operation: "o", signal, deadlineMs: 1000 });
  return [trace, result];
}

Deno.test("launch: what became of the machine meanwhile is part of its answer", async () => {
  const off = { state: "off", reason: "shutdown" };
  const started = ["networks", "start"];
  assert.deepEqual(await launched(off, () => ({ state: "running", reason: "booted" })), [
    [...started, "looked: running"],
    {},
  ]);
  assert.deepEqual(await launched(off, () => ({ state: "off", reason: "failed" })), [
    [...started, "looked: off"],
    { found: { kind: "off_seen", how: "crashed", detail: "failed" } },
  ]);
  assert.deepEqual(await launched(off, () => ({ state: "paused", reason: "panicked" })), [
    [...started, "looked: paused"],
    { found: { kind: "panicked" } },
  ]);
  const full = { state: "paused", reason: "io_error" };
  assert.deepEqual(await launched(full, () => full), [
    ["resume", "looked: paused"],
    { found: { kind: "paused_seen", why: "io_error" } },
  ]);
});

Deno.test("launch: a machine that was started is started, though the look after it fails", async () => {
  const fails = () => {
    throw new RumError("hypervisor_unreachable", "Closed");
  };
  assert.deepEqual(await launched({ state: "off", reason: "shutdown" }, fails), [
    ["networks", "start"],
    {},
  ]);
});
