import assert from "node:assert/strict";
import { RumError } from "../../../src/base/errors.ts";
import { createDrift } from "../../../src/daemon/drift.ts";
import { makePlan } from "../../../src/plan/plan.ts";
import type { RecordedPlan } from "../../../src/plan/types.ts";
import { sampleConfig, sampleFacts } from "../plan/sample.ts";

const planOf = (hostname: string): RecordedPlan => ({
  ...makePlan(sampleConfig(), sampleFacts()),
  hostname,
});

function look(files: readonly string[] = []) {
  let wanted: RecordedPlan | RumError = planOf("one");
  const at = { recorded: planOf("one"), read: 0, ms: 0, stamps: new Map<string, string>() };
  const events: string[] = [];
  const drift = createDrift({
    recorded: () => at.recorded,
    configPath: () => "/p/rum.toml",
    wanted() {
      at.read++;
      if (wanted instanceof RumError) return Promise.reject(wanted);
      return Promise.resolve({ plan: wanted, files });
    },
    emit: (event) => events.push(event.kind),
    stamp: (path) => Promise.resolve(at.stamps.get(path) ?? "0"),
    now: () => at.ms,
  });
  const touch = (path: string) => at.stamps.set(path, String(at.stamps.size + 1) + at.ms);
  return {
    at,
    events,
    touch,
    write(to: RecordedPlan | RumError) {
      wanted = to;
      touch("/p/rum.toml");
    },
    async seen() {
      await drift.look();
      return drift.known();
    },
    known: () => drift.known(),
  };
}

Deno.test("drift: an edit is seen by the next look, and an unchanged file is not read again", async () => {
  const world = look();
  assert.deepEqual(await world.seen(), []);
  await world.seen();
  assert.equal(world.at.read, 1);
  world.write(planOf("two"));
  assert.deepEqual(await world.seen(), ["network.hostname: one → two, rum up applies it"]);
  assert.equal(world.at.read, 2);
});

Deno.test("drift: what was applied is none any more, before the file is looked at again", async () => {
  const world = look();
  world.write(planOf("two"));
  await world.seen();
  world.at.recorded = planOf("two");
  assert.deepEqual(world.known(), []);
});

Deno.test("drift: a script's own file counts, and everything else after half a minute", async () => {
  const world = look(["/p/setup.sh"]);
  await world.seen();
  world.touch("/p/setup.sh");
  await world.seen();
  assert.equal(world.at.read, 2);
  world.at.ms += 31_000;
  await world.seen();
  assert.equal(world.at.read, 3);
});

Deno.test("drift: a mistake is one line that says where to read of it, and is gone when mended", async () => {
  const world = look();
  world.write(new RumError("config_invalid", "rum.toml has 2 mistakes\n\nrum.toml:1:1 …"));
  assert.deepEqual(await world.seen(), [
    "rum.toml has a mistake and cannot be followed; rum config check tells it",
  ]);
  world.write(planOf("one"));
  assert.deepEqual(await world.seen(), []);
});

Deno.test("drift: what nobody approved is told once as an event, and looked at again each time", async () => {
  const world = look();
  const refused = new RumError("untrusted_config", "Not approved.\n…", {
    data: { fresh: ["on.x"] },
  });
  world.write(refused);
  const said = ["rum.toml was changed and is not followed: Not approved. on.x"];
  assert.deepEqual([await world.seen(), await world.seen()], [said, said]);
  assert.deepEqual(world.events, ["warning"]);
  assert.equal(world.at.read, 2);
});

Deno.test("drift: a look that began before an edit does not answer for it", async () => {
  const world = look();
  const early = world.seen();
  world.write(planOf("two"));
  assert.equal((await world.seen()).length, 1);
  await early;
});
