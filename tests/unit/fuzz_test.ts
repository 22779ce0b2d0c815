/** A second of every fuzz target, so that they do not rot; `deno task fuzz` runs them for longer. */
import assert from "node:assert/strict";
import { fuzz } from "../fuzz/target.ts";
import { TARGETS } from "../fuzz/targets.ts";

const FULL = Deno.env.get("FULL") === "1";
const SECONDS = FULL ? 60 : 1;

for (const target of TARGETS) {
  Deno.test(`fuzz: ${SECONDS} s of ${target.name}`, async () => {
    // Fixed, so that a red run speaks of the change; FULL=1 throws the dice.
    const seed = FULL ? Date.now() % 2 ** 31 : 20261127;
    const end = performance.now() + SECONDS * 1000;
    const { cases, found } = await fuzz(target, { seed, until: () => performance.now() > end });
    if (found !== undefined) {
      console.log(`deno task fuzz ${target.name} --seed ${seed} --case ${found.case}`);
      throw found.thrown;
    }
    assert.ok(cases > 0);
  });
}
