/**
 * The power switch: no start on a folder that is not the one that was meant. QEMU's process in the
 * record: found by its command line, whoever started it.
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
