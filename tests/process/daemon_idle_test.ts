/** What a daemon costs that has nothing to do: resident memory, once it gave back what its start took. */
import assert from "node:assert/strict";
import { fakeWorld, until } from "../support/fake_guest.ts";

const WANTED_MIB = 60;

Deno.test(`an idle daemon is resident with at most ${WANTED_MIB} MiB, and still answers`, async () => {
  await using world = await fakeWorld({ prefix: "rum-idle-" });
  await world.ok(["up", "-d"]);
  const pid = (await world.holder())!;
  let mib = Infinity;
  await until(`at most ${WANTED_MIB} MiB`, async () => {
    const status = await Deno.readTextFile(`/proc/${pid}/status`);
    mib = Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)![1]) / 1024;
    return mib <= WANTED_MIB;
  }, 150_000);
  console.log(`${mib.toFixed(1)} MiB`);
  const { stdout } = await world.ok(["exec", "--", "echo", "here"]);
  assert.equal(stdout, "here\n");
  assert.equal(await world.holder(), pid, "the same daemon");
});
