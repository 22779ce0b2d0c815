/** Other processes at the same files: killed while they write, racing for one lock. */
import assert from "node:assert/strict";
import { describeHolder, isHolderAlive, readHolder, tryFlock } from "../../src/store/flock.ts";
import { removeLeftoverTemps } from "../../src/store/atomic.ts";
import { withFolder } from "../support/folder.ts";

const SRC = new URL("../../src/", import.meta.url).href;
const ROUNDS = 20;

/** Runs a line of the program in a process of its own; its stdout comes line by line. */
function child(code: string) {
  const process = new Deno.Command(Deno.execPath(), {
    args: ["eval", "--no-check", code],
    stdin: "null",
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  const lines = process.stdout.pipeThrough(new TextDecoderStream()).getReader();
  return { process, lines };
}

Deno.test(`writeFileAtomic: killed ${ROUNDS} times in mid-write, the file is always whole`, async () => {
  await withFolder(async (folder) => {
    const path = `${folder}/state.json`;
    let leftovers = 0;
    for (let round = 0; round < ROUNDS; round++) {
      const { process, lines } = child(`
        const { writeFileAtomic } = await import("${SRC}store/atomic.ts");
        for (let n = 0;; n++) {
          await writeFileAtomic(${
        JSON.stringify(path)
      }, JSON.stringify({ n, fill: "x".repeat(300000), end: n }));
          if (n % 3 === 0) console.log(n);
        }`);
      // A different number of writes each time, so that the kill meets different places.
      for (let seen = 0; seen <= round % 5; seen++) await lines.read();
      process.kill("SIGKILL");
      await process.status;
      await lines.cancel();
      const { n, end } = JSON.parse(Deno.readTextFileSync(path));
      assert.equal(n, end);
      leftovers += (await removeLeftoverTemps(folder)).length;
      assert.deepEqual([...Deno.readDirSync(folder)].map((e) => e.name), ["state.json"]);
    }
    assert.ok(leftovers <= ROUNDS);
  });
});

Deno.test("flock: kill -9 frees the lock, and the label it leaves behind is nobody's", async () => {
  await withFolder(async (folder) => {
    const path = `${folder}/m.lock`;
    const { process, lines } = child(`
      const { tryFlock, describeHolder } = await import("${SRC}store/flock.ts");
      const lock = await tryFlock(${
      JSON.stringify(path)
    }, await describeHolder({ role: "daemon", operation: "up" }));
      console.log(lock === undefined ? "no" : "yes");
      setInterval(() => {}, 1000);`);
    assert.equal((await lines.read()).value?.trim(), "yes");
    const holder = await describeHolder({ role: "one-shot", operation: "down" });
    assert.equal(await tryFlock(path, holder), undefined);
    const named = await readHolder(path);
    assert.equal(named?.pid, process.pid);
    assert.equal(await isHolderAlive(named!), true);
    process.kill("SIGKILL");
    await process.status;
    await lines.cancel();
    assert.equal((await readHolder(path))?.pid, process.pid, "the label outlives its writer");
    assert.equal(await isHolderAlive(named!), false);
    await using lock = await tryFlock(path, holder);
    assert.ok(lock);
  });
});

Deno.test("flock: of four processes racing for one lock, one holds it at a time", async () => {
  await withFolder(async (folder) => {
    const path = `${folder}/m.lock`;
    const children = Array.from({ length: 4 }, () =>
      child(`
        const { withFlock, describeHolder } = await import("${SRC}store/flock.ts");
        const holder = await describeHolder({ role: "one-shot", operation: "race" });
        for (let n = 0; n < 10; n++) {
          await withFlock(${JSON.stringify(path)}, { holder, deadlineMs: 60000 }, async () => {
            await Deno.mkdir(${JSON.stringify(`${folder}/inside`)});
            await Deno.remove(${JSON.stringify(`${folder}/inside`)});
          });
        }`));
    for (const { process, lines } of children) {
      assert.equal((await process.status).code, 0, "two were inside at once");
      await lines.cancel();
    }
  });
});
