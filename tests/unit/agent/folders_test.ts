import assert from "node:assert/strict";
import { Folders } from "../../../agent/folders.ts";

async function bed() {
  const folder = await Deno.makeTempDir({ prefix: "rum-folders-" });
  return {
    target: `${folder}/target`,
    state: `${folder}/state`,
    [Symbol.asyncDispose]: () => Deno.remove(folder, { recursive: true }),
  };
}

const entry = (path: string) => ({ path, type: "file" as const, mode: 0o644, size: 1, mtimeMs: 1 });

Deno.test("what the host wrote is remembered, and a torn last line costs that line alone", async () => {
  await using at = await bed();
  const first = new Folders(at.state);
  const { base } = await first.open(at.target, {});
  for (const name of ["a", "b", "c/d"]) base.set(entry(name));
  Deno.writeTextFileSync(`${at.target}/a`, "x");
  base.rename("b", "e");
  base.delete("c/d");
  base.begin("f");
  first.close();
  const [journal] = [...Deno.readDirSync(`${at.state}/folders`)].filter((each) => each.isFile);
  Deno.writeTextFileSync(`${at.state}/folders/${journal.name}`, '{"e":{"pa', { append: true });

  const second = new Folders(at.state);
  const again = await second.open(at.target, {});
  assert.deepEqual([...again.base.entries.keys()], ["a", "e"]);
  assert.ok(again.base.unfinished("f"));
  again.base.set(entry("g"));
  second.close();

  const third = new Folders(at.state);
  assert.deepEqual([...(await third.open(at.target, {})).base.entries.keys()], ["a", "e", "g"]);
  third.close();
});

Deno.test("a line that a full disk tore costs that line alone, not the next one", async () => {
  await using at = await bed();
  const first = new Folders(at.state);
  const { base } = await first.open(at.target, {});
  base.set(entry("a"));
  Deno.writeTextFileSync(`${at.target}/a`, "x");
  const { writeSync } = Deno.FsFile.prototype;
  try {
    // As the kernel does it: what has room is written, and the next write fails.
    let room = 7;
    Deno.FsFile.prototype.writeSync = function (bytes) {
      if (room === 0) throw new Error("No space left on device (os error 28)");
      const taken = bytes.subarray(0, room);
      room -= taken.length;
      return writeSync.call(this, taken);
    };
    assert.throws(() => base.set(entry("torn")), /No space left/);
  } finally {
    Deno.FsFile.prototype.writeSync = writeSync;
  }
  base.set(entry("b"));
  base.set(entry("c"));
  first.close();

  const second = new Folders(at.state);
  assert.deepEqual([...(await second.open(at.target, {})).base.entries.keys()], ["a", "b", "c"]);
  second.close();
});

Deno.test("two that open one folder at once get the same; others have their turn meanwhile", async () => {
  await using at = await bed();
  const first = new Folders(at.state);
  const { base } = await first.open(at.target, {});
  Deno.writeTextFileSync(`${at.target}/0`, "x");
  for (let n = 0; n < 30_000; n++) base.set(entry(String(n)));
  first.close();

  const second = new Folders(at.state);
  let turns = 0;
  const timer = setInterval(() => turns++, 0);
  const [one, other] = await Promise.all([
    second.open(at.target, {}),
    second.open(at.target, {}),
  ]);
  clearInterval(timer);
  assert.equal(one, other);
  assert.equal(one.base.entries.size, 30_000);
  assert.ok(turns > 1, `the event loop had ${turns} turns`);
  second.close();
});
