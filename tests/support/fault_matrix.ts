/**
 * The fault matrix: every command × every fault point that it passes × what happens there, and then
 * every next command. Which points a command passes is not written down but recorded from a run of it
 * (`RUM_TEST_FAULT=trace:FILE`), so a new step cannot be forgotten here.
 */
import assert from "node:assert/strict";
import { type FakeWorld, fakeWorld, until } from "./fake_guest.ts";
import type { Result } from "./rum.ts";

export const TOML = `[provision.system]
script = "echo system >> /home/rum/scripts"
[provision.boot]
script = "true"
[drives.data]
size = "256M"
`;

export interface Scenario {
  readonly name: string;
  /** What the machine was before; run without faults, unless a daemon has to have them. */
  readonly before: (world: FakeWorld, env: Record<string, string>) => Promise<void>;
  readonly command: readonly string[];
  /** May the disk be another one afterwards? */
  readonly disk: "kept" | "replaced" | "removed";
}

const UP = ["up", "-d"];
const up = async (world: FakeWorld, env: Record<string, string> = {}) =>
  void await world.ok(UP, { env });
/** A daemon that knows of the faults, and passes its start before they count. */
const served = async (world: FakeWorld, env: Record<string, string>) => {
  await up(world);
  await world.ok(["daemon", "stop"]);
  await world.settled();
  await world.ok(["exec", "true"], { env });
  await until("the new daemon has taken the machine up", async () => {
    const { phase, ready } = await world.status();
    return phase === "running" && ready === true;
  });
};
const alone = async (world: FakeWorld) => {
  await up(world);
  await world.ok(["daemon", "stop"]);
  await world.settled();
};
const stopped = async (world: FakeWorld) => {
  await up(world);
  await world.ok(["down"]);
  await world.settled();
};

export const SCENARIOS: readonly Scenario[] = [
  { name: "the first up", before: async () => {}, command: UP, disk: "kept" },
  { name: "a later up", before: stopped, command: UP, disk: "kept" },
  {
    name: "up --reset",
    before: stopped,
    command: [...UP, "--reset", "-y"],
    disk: "replaced",
  },
  { name: "hand-over to a new daemon", before: alone, command: ["exec", "true"], disk: "kept" },
  { name: "down by the daemon", before: served, command: ["down"], disk: "kept" },
  { name: "down without a daemon", before: alone, command: ["down"], disk: "kept" },
  { name: "provision", before: served, command: ["provision", "--boot"], disk: "kept" },
  { name: "daemon stop", before: served, command: ["daemon", "stop"], disk: "kept" },
  { name: "destroy by the daemon", before: served, command: ["destroy", "-y"], disk: "removed" },
  { name: "destroy without a daemon", before: alone, command: ["destroy", "-y"], disk: "removed" },
];

export interface Passed {
  readonly point: string;
  readonly nth: number;
}

/** The points that the scenario's command passes, in order, each with its number in its process. */
export async function trace(scenario: Scenario): Promise<Passed[]> {
  await using world = await fakeWorld({ toml: TOML });
  const path = `${world.box.home}/trace`;
  await Deno.writeTextFile(path, "");
  const env = { RUM_TEST_FAULT: `trace:${path}` };
  await scenario.before(world, env);
  const ready = (await Deno.readTextFile(path)).length;
  await world.ok(scenario.command, { env });
  if (scenario.name === "daemon stop") await world.settled();
  const text = await Deno.readTextFile(path);
  const counts = new Map<string, number>();
  const passed = new Map<string, Passed>();
  let offset = 0;
  for (const line of text.split("\n")) {
    const [pid, point] = line.split(" ");
    if (point !== undefined) {
      const nth = (counts.get(`${pid} ${point}`) ?? 0) + 1;
      counts.set(`${pid} ${point}`, nth);
      // A daemon without work ends by itself, sooner or later; its end has a row of its own.
      const late = point.startsWith("finish.") && scenario.name !== "daemon stop";
      if (offset >= ready && !late) passed.set(`${point}@${nth}`, { point, nth });
    }
    offset += line.length + 1;
  }
  return [...passed.values()];
}

export type Act = "kill" | "eio" | "enospc" | "delay";
export type Next = "up" | "down" | "destroy";

export interface Case {
  readonly scenario: Scenario;
  readonly at: Passed;
  readonly act: Act;
  readonly next: Next;
}

const NEXT: readonly Next[] = ["up", "down", "destroy"];

/** Where nothing can fail, only end: the error would be one that no system call gives. */
const ONLY_ENDS = /^(finish|serve|announce|alone|engine)\./;

/** Kill at every point with every next command; errors with one, another one at each point. */
export function casesOf(scenario: Scenario, points: readonly Passed[]): Case[] {
  const cases: Case[] = [];
  for (const [i, at] of points.entries()) {
    const add = (act: Act, next: Next) => cases.push({ scenario, at, act, next });
    const turn = NEXT[i % 3];
    if (at.point.endsWith(".begun")) {
      add("eio", turn);
      add("enospc", NEXT[(i + 1) % 3]);
      continue;
    }
    if (at.point.endsWith(".synced")) {
      add("kill", turn);
      continue;
    }
    for (const next of NEXT) add("kill", next);
    if (at.point.startsWith("write.")) continue;
    if (!ONLY_ENDS.test(at.point)) add("eio", turn);
    add("delay", turn);
  }
  return cases;
}

export function nameOf({ scenario, at, act, next }: Case): string {
  return `${scenario.name}: ${act} at ${at.point}@${at.nth}, then ${next}`;
}

/** Runs one case; throws with everything that was printed when a promise is broken. */
export async function runCase(each: Case): Promise<void> {
  const said: string[] = [];
  await using world = await fakeWorld({ toml: TOML });
  try {
    await play(each, world, said);
  } catch (error) {
    const log = await Deno.readTextFile(world.paths.daemonLog).catch(() => "");
    throw new Error(
      `${nameOf(each)}\n${(error as Error).message}\n${said.join("\n")}\n--- daemon\n${
        log.slice(-4000)
      }\n--- agent\n${(await world.guestLog()).slice(-1500)}`,
      { cause: error },
    );
  }
}

async function play(each: Case, world: FakeWorld, said: string[]): Promise<void> {
  const { scenario, at, act, next } = each;
  const run = async (args: readonly string[], env: Record<string, string> = {}) => {
    const result = await world.rum(args, { env, timeoutMs: 180_000 });
    said.push(`$ rum ${args.join(" ")} → ${result.code}\n${result.stdout}${result.stderr}`);
    return result;
  };
  const must = async (args: readonly string[]): Promise<Result> => {
    const result = await run(args);
    assert.equal(result.code, 0, `rum ${args.join(" ")} has to work after the fault`);
    return result;
  };
  const env = { RUM_TEST_FAULT: `${at.point}@${at.nth}:${act}` };
  await scenario.before(world, env);
  const before = await world.disk();

  const faulted = await run(scenario.command, env);
  if (act === "delay") assert.equal(faulted.code, 0, "a slow step is no failure");
  const after = await world.disk();
  if (scenario.disk === "kept" && before !== undefined) {
    assert.equal(after, before, "the fault took the disk of a good machine away");
  }
  if (scenario.disk === "replaced") assert.ok(after !== undefined, "no disk is left");

  const { json: status } = await must(["status", "-o", "json"]);
  const powered = await world.powered();
  if (status.phase === "running") assert.ok(powered, "status says running, and nothing runs");
  if (status.phase === "stopped" || status.phase === "absent") {
    assert.ok(!powered, `status says ${status.phase}, and it runs`);
  }
  if (status.phase === "stuck" && next !== "destroy") {
    // A destroy that failed half-way says so, and what finishes it.
    const refused = await run(next === "up" ? UP : ["down"]);
    if (refused.code !== 0) assert.match(refused.stderr, /half destroyed[^]*hint: rum destroy/);
    await must(["destroy", "-y"]);
    return await nothingLeft(world);
  }
  const goesOn = after !== undefined && scenario.disk !== "removed";
  switch (next) {
    case "up":
      await must(UP);
      if (goesOn) assert.equal(await world.disk(), after, "up took another disk");
      break;
    case "down":
      await must(["down"]);
      assert.ok(!await world.powered(), "down left it running");
      if (goesOn) assert.equal(await world.disk(), after, "down took the disk away");
      await must(UP);
      if (goesOn) assert.equal(await world.disk(), after, "up after down took another disk");
      break;
    case "destroy":
      await must(["destroy", "-y"]);
      return await nothingLeft(world);
  }
  await good(world);
  await must(["destroy", "-y"]);
  await nothingLeft(world);
}

/** The machine is up, its records agree, and nothing half-made lies about. */
export async function good(world: FakeWorld): Promise<void> {
  const status = await world.status();
  assert.equal(status.phase, "running", `phase ${status.text}`);
  assert.equal(status.ready, true);
  assert.ok(await world.powered());
  assert.equal((await world.record())?.state, "running");
  const names: string[] = [];
  for await (const { name } of Deno.readDir(world.paths.folder)) names.push(name);
  const litter = names.filter((name) => /\.pending$|\.tmp$|^rum\.sock\./.test(name));
  assert.deepEqual(litter, [], "half-made files are left");
  assert.equal(names.filter((name) => name.endsWith(".iso")).length, 1, "one seed");
  assert.equal(await scriptRuns(world), 1, "the first boot's script ran once on this disk");
}

/** How often the System script ran on the disk that is in place. */
async function scriptRuns(world: FakeWorld): Promise<number> {
  const [, disk] = (await world.boots()).at(-1)!.split(" ");
  const text = await Deno.readTextFile(`${world.folder}/disks/${disk}/home/rum/scripts`)
    .catch(() => "");
  return text.split("\n").filter((line) => line === "system").length;
}

/** Nothing orphaned: no folder, no record with the hypervisor, no process. */
export async function nothingLeft(world: FakeWorld): Promise<void> {
  assert.equal(await world.record(), undefined, "the hypervisor still knows it");
  const left: string[] = [];
  for await (const { name } of Deno.readDir(world.box.dataFolder)) {
    if (!name.startsWith(".")) left.push(name);
  }
  assert.deepEqual(left, [], "its folder is still there");
  await until(
    "every process of this world has ended",
    async () => (await world.processes()).length === 0,
  );
}

/** All of them, three at a time. */
export async function runMatrix(
  cases: readonly Case[],
  report: (failure: string) => void,
): Promise<void> {
  const queue = [...cases];
  const worker = async () => {
    for (let each = queue.shift(); each !== undefined; each = queue.shift()) {
      try {
        await runCase(each);
      } catch (error) {
        report((error as Error).message);
      }
    }
  };
  await Promise.all([worker(), worker(), worker()]);
}
