/**
 * A process that owns machines on the real QEMU driver: the tests start it as whichever user they
 * need, and kill it as hard as they like. Each act prints one JSON line.
 *
 *   qemu_story.ts ACT URI KIND FOLDER ID CACHE
 */
import assert from "node:assert/strict";
import type { HypervisorMachine, MachineRef } from "../../src/libvirt/hypervisor.ts";
import { openHypervisor } from "../../src/libvirt/open.ts";
import type { HypervisorChoice } from "../../src/plan/types.ts";
import type { Duplex } from "../../src/wire/duplex.ts";
import { withDeadline } from "../../src/base/deadline.ts";
import { TINY_GUEST_LINE } from "./boot_sector.ts";
import { SeenEvents } from "./machine_events.ts";
import { TEST_CHANNEL, tinyXml } from "./tiny_machine.ts";

const [act, uri, kind, folder, id, cache] = Deno.args;

async function main(): Promise<void> {
  const choice: HypervisorChoice = {
    uri,
    kind: kind as HypervisorChoice["kind"],
    reason: "test",
  };
  const ref: MachineRef = { name: `rum-t-${id}`, uuid: `00000000-0000-4000-8000-0000${id}`, id };
  await using hypervisor = await openHypervisor(choice, { embedCache: cache });
  const machine = hypervisor.machine(ref);
  switch (act) {
    case "whole":
      await machine.define(await tinyXml(ref, folder));
      await wholeLife(machine);
      return say({ ok: true });
    case "start-and-stay":
      await machine.define(await tinyXml(ref, folder));
      await machine.start();
      say({ started: true });
      return await new Promise<never>(() => setInterval(() => {}, 60_000));
    case "find-again": {
      assert.equal((await machine.status()).state, "running");
      const console = await machine.openConsole();
      await readUntil(console, TINY_GUEST_LINE);
      console.abort();
      await machine.forceOff();
      await machine.undefine();
      assert.equal((await machine.status()).state, "absent");
      return say({ ok: true });
    }
    default:
      throw new Error(`Unknown act ${act}`);
  }
}

async function wholeLife(machine: HypervisorMachine): Promise<void> {
  using seen = new SeenEvents(machine);
  await machine.start();
  await seen.until({ kind: "lifecycle", event: "started", detail: "booted" });
  await seen.until({ kind: "state", state: "running" });

  const serial = await machine.openConsole();
  await readUntil(serial, TINY_GUEST_LINE);
  await write(serial, "echo");
  await readUntil(serial, "echo");

  const channel = await machine.openChannel(TEST_CHANNEL);
  channel.abort();
  const { mime, bytes } = await machine.screenshot();
  assert.ok(mime === "image/png" || mime === "image/x-portable-pixmap", mime);
  assert.ok(bytes.length > 100, `a screenshot of ${bytes.length} bytes`);
  await machine.sendKeys([28]);
  const answer = await machine.monitorCommand({ execute: "query-status" });
  assert.equal((answer as { return: { status: string } }).return.status, "running");
  assert.ok("block.0.rd.bytes" in await machine.stats());

  await machine.pause();
  await seen.until({ kind: "state", state: "paused", reason: "user" });
  await machine.resume();
  await write(serial, "r");
  await seen.until({ kind: "reboot" });
  await poke(serial, "q", seen.until({ kind: "lifecycle", event: "stopped", detail: "shutdown" }));
  await seen.until({ kind: "state", state: "off", reason: "shutdown" });

  const beforeSecond = seen.all.length;
  await machine.start();
  const again = await machine.openConsole();
  await readUntil(again, TINY_GUEST_LINE);
  await write(again, "p");
  await seen.until({ kind: "state", state: "crashed", reason: "panicked" }, { from: beforeSecond });
  again.abort();
  await machine.forceOff();
  await machine.undefine();
  assert.equal((await machine.status()).state, "absent");
}

async function write(to: Duplex, text: string): Promise<void> {
  const writer = to.writable.getWriter();
  await writer.write(new TextEncoder().encode(text));
  writer.releaseLock();
}

/** Again and again: what arrives while the firmware runs is lost. */
async function poke(to: Duplex, key: string, reached: Promise<unknown>): Promise<void> {
  const again = setInterval(() => void write(to, key).catch(() => {}), 300);
  try {
    await reached;
  } finally {
    clearInterval(again);
    to.abort();
  }
}

async function readUntil(from: Duplex, text: string): Promise<void> {
  const reader = from.readable.getReader();
  let seen = "";
  await withDeadline({
    waitingFor: `${JSON.stringify(text)} on the console`,
    timeoutMs: 60_000,
    lastSeen: () => JSON.stringify(seen.slice(-200)),
  }, async () => {
    while (!seen.includes(text)) {
      const { value, done } = await reader.read();
      if (done) throw new Error(`The console ended after ${JSON.stringify(seen)}`);
      seen += new TextDecoder().decode(value);
    }
  });
  reader.releaseLock();
}

function say(line: object): void {
  console.log(JSON.stringify(line));
}

await main();
