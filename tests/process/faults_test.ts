/**
 * Crash safety: at every fault point of every command the process is killed, or the step fails, or
 * dawdles; then `status`, and then the next `up`, `down` or `destroy`, has to heal. FULL=1 runs the
 * whole matrix; the default run takes one written-down sample, so that a red run speaks of the change
 * and not of the day. `docs/reliability.md` holds the table: UPDATE=1 writes it anew.
 */
import assert from "node:assert/strict";
import { FAULT_POINTS, parseFaults } from "../../src/base/fault.ts";
import {
  type Act,
  type Case,
  casesOf,
  type Next,
  type Passed,
  runMatrix,
  type Scenario,
  SCENARIOS,
  trace,
} from "../support/fault_matrix.ts";
import { renderMatrix } from "../support/fault_table.ts";

const FULL = Deno.env.get("FULL") === "1";
const PAGE = new URL("../../docs/reliability.md", import.meta.url).pathname;
/** Every command, every act with every next command, and the moments where most is at stake. */
const SAMPLE: readonly (readonly [scenario: string, act: Act, at: string, next: Next])[] = [
  ["the first up", "kill", "launch.started@1", "up"],
  ["the first up", "kill", "provision.ran@1", "down"],
  ["the first up", "eio", "write.domain.xml.begun@1", "destroy"],
  ["a later up", "kill", "publish.renamed@1", "destroy"],
  ["a later up", "enospc", "write.state.json.begun@4", "up"],
  ["a later up", "delay", "greet.hello@1", "down"],
  ["up --reset", "kill", "publish.disk@1", "up"],
  ["up --reset", "enospc", "write.overlay.qcow2.pending.begun@1", "down"],
  ["hand-over to a new daemon", "kill", "announce.recorded@1", "up"],
  ["hand-over to a new daemon", "delay", "serve.composed@1", "destroy"],
  ["down by the daemon", "kill", "stop.pressed@1", "up"],
  ["down by the daemon", "eio", "stop.services@1", "down"],
  ["down without a daemon", "kill", "stop.off@1", "down"],
  ["provision", "enospc", "write.state.json.begun@7", "destroy"],
  ["provision", "eio", "provision.applied@2", "up"],
  ["daemon stop", "delay", "finish.removed@1", "up"],
  ["destroy by the daemon", "kill", "folder.bulk@1", "down"],
  ["destroy without a daemon", "kill", "write.state.json.renamed@3", "up"],
];

/** @throws {AssertionError} when a command does not come by the point that the sample names */
function sampled(traces: ReadonlyMap<Scenario, readonly Passed[]>): Case[] {
  return SAMPLE.map(([name, act, where, next]) => {
    const [scenario, points] = [...traces].find(([each]) => each.name === name)!;
    // How often a record is written may hang on who is quicker; that it is, does not.
    const at = points.find(({ point, nth }) => `${point}@${nth}` === where) ??
      points.findLast(({ point }) => point === where.split("@")[0]);
    assert.ok(at !== undefined, `${name} does not pass ${where}: the sample needs another point`);
    return { scenario, at, act, next };
  });
}

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

Deno.test("the sample covers every command, and every act with every next command", () => {
  const of = (pick: (row: (typeof SAMPLE)[number]) => string) =>
    [...new Set(SAMPLE.map(pick))].sort();
  assert.deepEqual(of(([name]) => name), SCENARIOS.map(({ name }) => name).sort());
  const acts = ["delay", "eio", "enospc", "kill"];
  const pairs = acts.flatMap((act) => ["destroy", "down", "up"].map((next) => `${act}, ${next}`));
  assert.deepEqual(of(([, act, , next]) => `${act}, ${next}`), pairs);
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
  const cases = FULL ? all : sampled(await traced());
  const failures: string[] = [];
  await runMatrix(cases, (failure) => {
    failures.push(failure);
    console.error(`${failure}\n`);
  });
  console.log(`${cases.length} of ${all.length} cases`);
  assert.deepEqual(failures.map((text) => text.split("\n")[0]), []);
});
