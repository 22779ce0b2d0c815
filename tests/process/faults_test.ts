/**
 * Crash safety: at every fault point of every command the process is killed, or the step fails, or
 * dawdles; then `status`, and then the next `up`, `down` or `destroy`, has to heal. A sample by
 * default, spread over all commands and points by the day, so that a week sees most of it; FULL=1
 * runs the whole matrix. `docs/reliability.md` holds the table: UPDATE=1 writes it anew.
 */
import assert from "node:assert/strict";
import { FAULT_POINTS, parseFaults } from "../../src/base/fault.ts";
import {
  casesOf,
  nameOf,
  type Passed,
  runMatrix,
  type Scenario,
  SCENARIOS,
  trace,
} from "../support/fault_matrix.ts";
import { renderMatrix } from "../support/fault_table.ts";

const FULL = Deno.env.get("FULL") === "1";
const PAGE = new URL("../../docs/reliability.md", import.meta.url).pathname;
/** Cases of the default run; about a second each, three at a time. */
const SAMPLE = 16;

let traces: Promise<ReadonlyMap<Scenario, readonly Passed[]>> | undefined;

function traced(): Promise<ReadonlyMap<Scenario, readonly Passed[]>> {
  traces ??= (async () => {
    const found = new Map<Scenario, readonly Passed[]>();
    const queue = [...SCENARIOS];
    const worker = async () => {
      for (let each = queue.shift(); each !== undefined; each = queue.shift()) {
        found.set(each, await trace(each));
      }
    };
    await Promise.all([worker(), worker(), worker()]);
    return new Map(SCENARIOS.map((scenario) => [scenario, found.get(scenario)!]));
  })();
  return traces;
}

Deno.test("RUM_TEST_FAULT: what is no fault is refused, what is one is read", () => {
  assert.deepEqual(parseFaults(undefined), { faults: [] });
  assert.deepEqual(parseFaults("publish.disk@2+:delay:5").faults, [
    { name: "publish.disk", nth: 2, stays: true, act: "delay", ms: 5 },
  ]);
  for (const bad of ["publish.disk", "nowhere:kill", "publish.disk:burn", "publish.disk@0:kill"]) {
    assert.throws(() => parseFaults(bad), { code: "usage" }, bad);
  }
});

Deno.test("every named fault point is passed by some command", async () => {
  const passed = new Set([...(await traced()).values()].flat().map(({ point }) => point));
  // Only an interrupt in the first boot wipes; races_interrupt_test.ts passes it.
  const elsewhere = ["wipe.undefined"];
  const missing = Object.keys(FAULT_POINTS).filter((p) => !passed.has(p) && !elsewhere.includes(p));
  assert.deepEqual(missing, []);
});

Deno.test("docs/reliability.md has the table that this suite runs", async () => {
  const page = await Deno.readTextFile(PAGE);
  const wanted = renderMatrix(page, await traced());
  if (Deno.env.get("UPDATE") === "1") return await Deno.writeTextFile(PAGE, wanted);
  // Which commands pass a point may hang on who is quicker (a healed daemon greets before or after
  // it is asked); which points there are, and what each means, does not.
  const points = (text: string) =>
    text.split("\n").filter((line) => line.startsWith("| `")).map((line) =>
      line.split("|").slice(1, 3).map((cell) => cell.trim())
    );
  assert.deepEqual(points(page), points(wanted), "write it anew with UPDATE=1");
});

Deno.test("after a fault anywhere, the next command heals", async () => {
  const all = [...await traced()].flatMap(([scenario, points]) => casesOf(scenario, points));
  const every = FULL ? 1 : Math.ceil(all.length / SAMPLE);
  const day = Math.floor(Date.now() / 86_400_000);
  const cases = all.filter((_, i) => i % every === day % every);
  const failures: string[] = [];
  await runMatrix(cases, (failure) => {
    failures.push(failure);
    console.error(`${failure}\n`);
  });
  console.log(`${cases.length} of ${all.length} cases, the first: ${nameOf(cases[0])}`);
  assert.deepEqual(failures.map((text) => text.split("\n")[0]), []);
});
