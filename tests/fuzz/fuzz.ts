/**
 * `deno task fuzz TARGET|all [--seconds 60] [--seed N] [--case N]`: feeds a reader of foreign bytes
 * with good ones gone bad, for the given time. A failure prints the input and how to repeat it.
 */
import { fuzz } from "./target.ts";
import { TARGETS } from "./targets.ts";
import { numberAfter } from "../support/number_after.ts";

async function main(args: readonly string[]): Promise<number> {
  const names = TARGETS.map((target) => target.name);
  const chosen = TARGETS.filter(({ name }) => args[0] === name || args[0] === "all");
  if (chosen.length === 0) {
    console.error(`deno task fuzz ${names.join("|")}|all [--seconds N] [--seed N] [--case N]`);
    return 2;
  }
  const seconds = numberAfter(args, "--seconds") ?? 60;
  const seed = numberAfter(args, "--seed") ?? Date.now() % 2 ** 31;
  const only = numberAfter(args, "--case");
  let failed = 0;
  for (const target of chosen) {
    const end = performance.now() + seconds * 1000;
    const { cases, found } = await fuzz(target, {
      seed,
      from: only ?? 0,
      until: (done) => only === undefined ? performance.now() > end : done > 0,
    });
    if (found === undefined) {
      console.log(`${target.name}: ${cases} cases passed, --seed ${seed}`);
      continue;
    }
    failed++;
    const repeat = `deno task fuzz ${target.name} --seed ${seed} --case ${found.case}`;
    console.log(`${target.name}: case ${found.case} FAILED: ${repeat}`);
    console.log(found.thrown);
    console.log(`its ${found.input.length} bytes begin ${found.input.subarray(0, 512).toBase64()}`);
  }
  return failed === 0 ? 0 : 1;
}

if (import.meta.main) Deno.exit(await main(Deno.args));
