/**
 * Random lives: a small world that answers work as a hypervisor and a guest could, and clients who do
 * anything at any time. What must never happen, checked at every step.
 */
import assert from "node:assert/strict";
import fc from "fast-check";
import { admit } from "../../../src/machine/admit.ts";
import type { Effect } from "../../../src/machine/effects.ts";
import type { Event, EventBody, Request } from "../../../src/machine/events.ts";
import { DEFAULT_RULES, step } from "../../../src/machine/step.ts";
import { firstBootOf, isWorking, type MachineState } from "../../../src/machine/state.ts";

const WALKS = Deno.env.get("FULL") === "1" ? 100_000 : 10_000;
const STEPS = 40;

type Flight = Extract<Effect, { kind: "work" }>;

interface World {
  state: MachineState;
  flight?: Flight;
  cancelled: boolean;
  at: number;
  operations: number;
  disk: boolean;
  /** The operation that made the disk that is in place. */
  diskBy?: string;
  /** A reset's disk is about to take its place. */
  swapBy?: string;
  /** Set for the disk in place when a script failed, a time-out struck or it was finished. */
  spoilt: boolean;
  everUp: boolean;
  wipes: number;
  removes: number;
  overSeen: boolean;
}

const cause = { code: "provision_failed", message: "No" } as const;
const gone = { code: "agent_restarted", message: "Gone" } as const;

/** `dice` decides everything, so that a failing walk shrinks. */
function walk(dice: readonly number[], onCrash: "none" | "restart" | "preserve"): void {
  const world: World = {
    state: { kind: "absent" },
    cancelled: false,
    at: 0,
    operations: 0,
    disk: false,
    spoilt: false,
    everUp: false,
    wipes: 0,
    removes: 0,
    overSeen: false,
  };
  for (const die of dice) {
    world.at += die % 977;
    const event = pick(world, die);
    if (event !== undefined) feed(world, { ...event, at: world.at } as Event, onCrash);
  }
  // Whatever the life was, the work under way can always come to an end.
  for (let i = 0; i < 20 && world.flight !== undefined; i++) {
    feed(world, { ...succeed(world, world.flight, 0), at: world.at } as Event, onCrash);
  }
}

function pick(world: World, die: number): EventBody | undefined {
  const { state, flight } = world;
  const side = Math.floor(die / 7);
  if (flight !== undefined && die % 3 !== 0) {
    return side % 5 === 0 || (world.cancelled && side % 2 === 0)
      ? {
        kind: "failed",
        work: flight.work,
        operation: flight.operation,
        cause: flight.work === "provision" && side % 3 === 0 ? gone : cause,
      }
      : succeed(world, flight, side);
  }
  const operation = `op-${++world.operations}`;
  const client = `client-${side % 3}`;
  const requests: Request[] = [
    { kind: "up", operation, client, detach: side % 2 === 0, attach: side % 4 === 0 },
    { kind: "up", operation, client, detach: false, attach: false },
    { kind: "up", operation, client, detach: false, attach: false, reset: "disk" },
    { kind: "interrupt", operation, client },
    { kind: "interrupt", operation, client },
    { kind: "down", operation, client, force: side % 2 === 0, timeoutMs: 1000 },
    { kind: "destroy", operation, client },
    { kind: "restart", operation, client, timeoutMs: 1000 },
    { kind: "pause", operation, client },
    { kind: "resume", operation, client },
    { kind: "provision", operation, client, scope: "all" },
    { kind: "release", operation },
  ];
  const facts: EventBody[] = [
    { kind: "client_left", client, why: (["detached", "gone", "timeout"] as const)[side % 3] },
    { kind: "off_seen", how: (["guest", "outside", "crashed"] as const)[side % 3], detail: "" },
    { kind: "rebooted" },
    { kind: "panicked" },
    { kind: "paused_seen", why: (["from_outside", "disk_full"] as const)[side % 2] },
    { kind: "resumed_seen" },
    {
      kind: "agent_up",
      operation,
      hello: { boot_id: `b${side % 2}`, first_boot_done: false, version: "1", scripts: {} },
    },
    { kind: "agent_lost", detail: "" },
    { kind: "on_seen", operation },
  ];
  const index = side % (requests.length * 2 + facts.length);
  if (index >= requests.length * 2) return facts[index - requests.length * 2];
  const request = requests[index % requests.length];
  // Rarely, so that most walks live long; destroy and release end them.
  if ((request.kind === "release" || request.kind === "destroy") && side % 5 !== 0) {
    return undefined;
  }
  return admit(state, request).kind === "now" ? request : undefined;
}

function succeed(world: World, flight: Flight, side: number): EventBody {
  const { operation } = flight;
  const hello = { boot_id: `b${side % 2}`, version: "1", scripts: {} };
  switch (flight.work) {
    case "gather": {
      const disk = flight.reset !== undefined ? "replacement" : world.disk ? "existing" : "new";
      return { kind: "done", work: "gather", operation, result: { disk } };
    }
    case "launch":
      return { kind: "done", work: "launch", operation, result: {} };
    case "greet": {
      const first_boot_done = world.disk && side % 7 === 0;
      return { kind: "done", work: "greet", operation, result: { ...hello, first_boot_done } };
    }
    case "provision":
    case "reprovision":
      return { kind: "done", work: flight.work, operation, result: { scripts: {} } };
    case "await_ready":
      return { kind: "done", work: "await_ready", operation, result: { ready: side % 3 !== 0 } };
    case "apply":
      return { kind: "done", work: "apply", operation, result: { applied: [], needs: [] } };
    case "shut_down":
      return { kind: "done", work: "shut_down", operation, result: { off: side % 2 === 0 } };
    case "wipe":
      return { kind: "done", work: "wipe", operation, result: { left: "nothing" } };
    default:
      return { kind: "done", work: flight.work, operation, result: {} };
  }
}

function feed(world: World, event: Event, onCrash: "none" | "restart" | "preserve"): void {
  const before = world.state;
  if (event.kind === "done" || event.kind === "failed") world.flight = undefined;
  note(world, event);
  const [next, effects] = step(before, event, { ...DEFAULT_RULES, onCrash });
  if (world.overSeen) {
    assert.equal(next, before, "nothing after over");
    assert.deepEqual(effects, [], "no effect after over");
  }
  for (const effect of effects) {
    if (effect.kind === "cancel") world.cancelled = true;
    if (effect.kind !== "work") continue;
    assert.equal(world.flight, undefined, `"${effect.work}" beside "${world.flight?.work}"`);
    world.flight = effect;
    world.cancelled = false;
    if (effect.work === "publish" && effect.first_boot.kind === "under_way") {
      const [first] = effects;
      assert.ok(first.kind === "save" && first.barrier, "the fact is written ahead of the disk");
      // A reset swaps: until that has ended the old disk, which somebody worked in, may be there.
      if (effect.reset === undefined || !world.disk) {
        world.disk = true;
        world.diskBy = effect.first_boot.operation;
        world.spoilt = false;
      } else world.swapBy = effect.first_boot.operation;
    }
    if (effect.work === "wipe") {
      world.wipes++;
      if (world.disk) {
        assert.equal(effect.operation, world.diskBy, "a wipe by the operation that made the disk");
        assert.equal(world.spoilt, false, "a wipe only of a first boot in which nothing failed");
      }
    }
    if (effect.work === "remove") world.removes++;
  }
  // A flight that is called off may still be there; a phase at rest has none.
  if (world.flight !== undefined && next.kind !== "over") assert.ok(isWorking(next), next.kind);
  if (world.flight === undefined) assert.ok(!isWorking(next), `${next.kind} waits for nothing`);
  assert.ok(world.wipes <= 1 + world.operations && world.removes <= world.operations + 1);
  if (next.kind === "over") {
    if (!world.overSeen && next.how === "wiped") assert.equal(world.wipes > 0, true);
    world.overSeen = true;
  }
  const fact = firstBootOf(next);
  if (fact.kind === "under_way" && world.disk && world.swapBy === undefined) {
    assert.equal(world.spoilt, false, "never re-armed");
  }
  world.state = next;
}

/** The world's own book, kept apart from the machine's. */
function note(world: World, event: Event): void {
  const { state } = world;
  if (world.swapBy !== undefined && event.kind !== "interrupt" && "work" in event) {
    if (event.kind === "done" && event.work === "publish") {
      world.diskBy = world.swapBy;
      world.spoilt = world.cancelled;
    }
    world.swapBy = undefined;
  }
  if (event.kind === "failed" && ["launch", "greet", "provision"].includes(event.work)) {
    if (!world.cancelled && event.cause.code !== "agent_restarted") world.spoilt = world.disk;
  }
  if (event.kind === "done" && event.work === "provision" && !world.cancelled) world.spoilt = true;
  if (event.kind === "client_left" && event.why === "timeout" && "run" in state) {
    const { owner } = state.run;
    if (owner.kind === "attached" && owner.client === event.client && isWorking(state)) {
      world.spoilt = world.disk;
    }
  }
  if (event.kind === "done" && event.work === "wipe") world.disk = false;
}

Deno.test(`random walks: ${WALKS} lives keep every promise`, () => {
  fc.assert(
    fc.property(
      fc.array(fc.nat({ max: 1_000_000 }), { minLength: STEPS, maxLength: STEPS }),
      fc.constantFrom("none", "restart", "preserve"),
      (dice, onCrash) => walk(dice, onCrash),
    ),
    { numRuns: WALKS, endOnFailure: false },
  );
});
