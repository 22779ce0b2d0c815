import assert from "node:assert/strict";
import type { RumError } from "../../../src/base/errors.ts";
import {
  describeHolder,
  isHolderAlive,
  readHolder,
  tryFlock,
  waitForFlock,
  withFlock,
} from "../../../src/store/flock.ts";
import { withFolder } from "../../support/folder.ts";

const up = () => describeHolder({ role: "one-shot", operation: "up", deadlineMs: 60_000 });

Deno.test("tryFlock: one holder at a time, named in the file, forgotten on release", async () => {
  await withFolder(async (folder) => {
    const path = `${folder}/m.lock`;
    const holder = await up();
    const first = await tryFlock(path, holder);
    assert.ok(first);
    assert.equal(await tryFlock(path, holder), undefined);
    assert.deepEqual(await readHolder(path), holder);
    await first.relabel({ operation: "down", deadline: null });
    assert.equal((await readHolder(path))?.operation, "down");
    await first.release();
    await first.release();
    assert.equal(await readHolder(path), undefined);
    assert.ok(Deno.statSync(path).isFile, "the lock file is never unlinked");
    await using second = await tryFlock(path, holder);
    assert.ok(second);
  });
});

Deno.test("withFlock: a lock that stays taken is busy, with who and since when", async () => {
  await withFolder(async (folder) => {
    const path = `${folder}/m.lock`;
    const holder = await up();
    await using _held = await tryFlock(path, holder);
    const waits: unknown[] = [];
    await assert.rejects(
      withFlock(path, { holder, deadlineMs: 30, onWait: (h) => waits.push(h) }, () => {
        throw new Error("must not run");
      }),
      (e: RumError) =>
        e.code === "busy" && e.message.includes(`"up" since ${holder.since}`) &&
        (e.data?.holder as typeof holder).pid === Deno.pid,
    );
    assert.deepEqual(waits, [holder]);
  });
});

Deno.test("waitForFlock: goes on as soon as the holder is done, and stops when called off", async () => {
  await withFolder(async (folder) => {
    const path = `${folder}/m.lock`;
    const holder = await up();
    const held = await tryFlock(path, holder);
    const waiting = Promise.withResolvers<void>();
    const next = waitForFlock(path, {
      holder,
      deadlineMs: 20_000,
      onWait: () => waiting.resolve(),
    });
    await waiting.promise;
    await held!.release();
    await using _second = await next;
    const reason = new Error("Ctrl+C");
    const controller = new AbortController();
    await assert.rejects(
      waitForFlock(path, {
        holder,
        deadlineMs: 20_000,
        signal: controller.signal,
        onWait: () => controller.abort(reason),
      }),
      reason,
    );
  });
});

Deno.test("isHolderAlive: a reused pid, another boot and a dead process are not the holder", async () => {
  const holder = await up();
  assert.equal(await isHolderAlive(holder), true);
  assert.equal(await isHolderAlive({ ...holder, start_time: holder.start_time - 1 }), false);
  assert.equal(await isHolderAlive({ ...holder, boot_id: "another" }), false);
  assert.equal(await isHolderAlive({ ...holder, pid: 4_194_303 }), false);
});

Deno.test("readHolder: half a label, garbage and nothing are nobody", async () => {
  await withFolder(async (folder) => {
    const path = `${folder}/m.lock`;
    assert.equal(await readHolder(path), undefined);
    const whole = JSON.stringify(await up());
    for (const text of ["", "{", "null", "[]", '{"pid":-1}', whole.slice(0, -3)]) {
      Deno.writeTextFileSync(path, text);
      assert.equal(await readHolder(path), undefined, text);
    }
  });
});

Deno.test("tryFlock: a link, a folder and a pipe at the lock's name are refused", async () => {
  await withFolder(async (folder) => {
    const holder = await up();
    Deno.symlinkSync(`${folder}/elsewhere`, `${folder}/link`);
    Deno.mkdirSync(`${folder}/dir`);
    await new Deno.Command("mkfifo", { args: [`${folder}/pipe`] }).output();
    for (const name of ["link", "dir", "pipe"]) {
      await assert.rejects(
        tryFlock(`${folder}/${name}`, holder),
        (e: RumError) => e.code === "state_invalid",
        name,
      );
    }
    await assert.rejects(Deno.lstat(`${folder}/elsewhere`), Deno.errors.NotFound);
  });
});
