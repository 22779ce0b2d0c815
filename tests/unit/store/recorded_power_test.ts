/** Power from the record alone: which QEMU counts. */
import assert from "node:assert/strict";
import { newRecord } from "../../../src/machine/record.ts";
import { bootId, processIdentity } from "../../../src/store/flock.ts";
import { powerOf } from "../../../src/store/recorded_power.ts";

const soon = () => new Promise((resolve) => setTimeout(resolve, 5));

async function recordOf(pid: number, startTime: number) {
  return {
    ...newRecord({
      id: "0123abcd",
      uuid: "00000000-0000-5000-8000-000000000000",
      name: "m",
      hypervisorName: "rum-m-0123abcd",
      configPath: "/project/rum.toml",
      rumVersion: "0.1.0",
      now: "2026-01-01T00:00:00Z",
    }),
    phase: { kind: "running", text: "running", since: "2026-01-01T00:00:00Z" } as const,
    host_boot_id: await bootId(),
    qemu: { pid, start_time: startTime },
  };
}

Deno.test("powerOf: a living QEMU is power; another process under its pid, or another boot's, is none", async () => {
  const { start_time } = (await processIdentity(Deno.pid))!;
  const record = await recordOf(Deno.pid, start_time);
  assert.equal(await powerOf(record), "on");
  assert.equal(await powerOf({ ...record, qemu: { pid: Deno.pid, start_time: 1 } }), "off");
  assert.equal(await powerOf({ ...record, host_boot_id: "another-boot" }), "off");
});

Deno.test("powerOf: a QEMU that ended and that nobody reaps is no power", async () => {
  // The shell becomes a program that never waits for the child which it got from it.
  const parent = new Deno.Command("sh", {
    args: ["-c", "exec 3<&0; read -r _ <&3 & echo $!; exec sleep 600"],
    stdin: "piped",
    stdout: "piped",
  }).spawn();
  const reader = parent.stdout.getReader();
  try {
    const pid = Number(new TextDecoder().decode((await reader.read()).value));
    while (await Deno.readTextFile(`/proc/${parent.pid}/comm`) !== "sleep\n") await soon();
    await parent.stdin.close();
    let found = await processIdentity(pid);
    while (found !== undefined && !found.zombie) {
      await soon();
      found = await processIdentity(pid);
    }
    assert.ok(found !== undefined, "its parent has not waited for it");
    assert.equal(await powerOf(await recordOf(pid, found.start_time)), "off");
  } finally {
    parent.kill("SIGKILL");
    await reader.cancel();
    await parent.status;
  }
});
