import assert from "node:assert/strict";
import type { Engine } from "../../../src/daemon/engine.ts";
import { openEventLog, readEvents } from "../../../src/daemon/event_log.ts";
import { lifecycleMethods } from "../../../src/daemon/methods/lifecycle.ts";
import { replay } from "../../../src/protocol/machine_events.ts";

const now = () => new Date("2026-11-21T10:00:00Z");

async function inFolder(work: (path: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  await Deno.chmod(folder, 0o700);
  try {
    await work(`${folder}/events.jsonl`);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("event log: numbers go on over restarts, without gaps", () =>
  inFolder(async (path) => {
    const first = await openEventLog({ path, now });
    first.append({ kind: "note", text: "a" });
    first.append({ kind: "note", text: "b" });
    await first.close();
    const second = await openEventLog({ path, now });
    assert.equal(second.last, 2);
    second.append({ kind: "note", text: "c" });
    await second.close();
    const events = await readEvents(path);
    assert.deepEqual(events.map((e) => e.seq), [1, 2, 3]);
    assert.equal(replay(events).missed, 0);
  }));

Deno.test("event log: a torn last line is skipped and its number used again for what comes", () =>
  inFolder(async (path) => {
    const log = await openEventLog({ path, now });
    log.append({ kind: "note", text: "whole" });
    log.append({ kind: "note", text: "torn" });
    await log.close();
    const text = await Deno.readTextFile(path);
    await Deno.writeTextFile(path, text.slice(0, -9));
    const again = await openEventLog({ path, now });
    assert.equal(again.last, 1);
    await again.close();
  }));

Deno.test("event log: at most twice the bound is kept on disk", () =>
  inFolder(async (path) => {
    const log = await openEventLog({ path, now, maxBytes: 2000 });
    for (let i = 0; i < 200; i++) {
      log.append({ kind: "note", text: `event ${i}` });
      if (i % 10 === 0) await log.flush();
    }
    await log.close();
    const sizes = [(await Deno.stat(path)).size, (await Deno.stat(`${path}.1`)).size];
    assert.ok(sizes.every((size) => size <= 2000), String(sizes));
    assert.equal((await readEvents(path)).at(-1)?.seq, 200);
  }));

Deno.test("event log: followers get every event once, from the ring and then live", () =>
  inFolder(async (path) => {
    const log = await openEventLog({ path, now });
    log.append({ kind: "note", text: "before" });
    const seen = log.after(0).map((e) => e.seq);
    const stop = log.follow((event) => seen.push(event.seq));
    log.append({ kind: "line", script: "system", stream: "out", text: "x" });
    log.append({ kind: "note", text: "after" });
    stop();
    log.append({ kind: "note", text: "unseen" });
    await log.close();
    // The line of a script is delivered under the number before it and leaves no gap on disk.
    assert.deepEqual(seen, [1, 1, 2]);
    assert.deepEqual((await readEvents(path)).map((e) => e.seq), [1, 2, 3]);
  }));

Deno.test("event log: what a command did is in the file when the command is answered", () =>
  inFolder(async (path) => {
    const events = await openEventLog({ path, now });
    const engine = {
      events,
      controller: {
        request() {
          events.append({ kind: "note", text: "paused" });
          return Promise.resolve({ did: "paused", exit: 0 });
        },
        snapshot: () => ({ state: { kind: "paused" } }),
      },
    } as unknown as Engine;
    const { pause } = lifecycleMethods(engine);
    await pause.handle({ connection: 1 } as never, {} as never, { offer() {} } as never);
    // At once: waiting for a file would give the writing its time.
    assert.match(Deno.readTextFileSync(path), /"text":"paused"/);
    await events.close();
  }));

Deno.test("event log: a symlink in its place is not followed, and said once", () =>
  inFolder(async (path) => {
    const target = `${path}.target`;
    await Deno.writeTextFile(target, "mine\n");
    const log = await openEventLog({ path, now });
    await Deno.symlink(target, path);
    log.append({ kind: "note", text: "a" });
    await log.flush();
    log.append({ kind: "note", text: "b" });
    await log.close();
    assert.equal(await Deno.readTextFile(target), "mine\n");
    assert.equal(log.after(0).filter((e) => e.kind === "warning").length, 1);
  }));

Deno.test("event log: a folder that went with its machine is no complaint", async () => {
  const folder = await Deno.makeTempDir();
  await Deno.chmod(folder, 0o700);
  const log = await openEventLog({ path: `${folder}/events.jsonl`, now });
  await Deno.remove(folder, { recursive: true });
  log.append({ kind: "note", text: "gone" });
  await log.close();
  assert.deepEqual(log.after(0).map(({ kind }) => kind), ["note"]);
});
