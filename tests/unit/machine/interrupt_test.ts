/** The interrupt table of SPEC section 5: a test for each cell, named by it. */
import assert from "node:assert/strict";
import { verdictOf } from "../../../src/machine/interrupt.ts";
import { step } from "../../../src/machine/step.ts";
import type { MachineState } from "../../../src/machine/state.ts";
import {
  AGENT,
  ALONE,
  CAUSE,
  DONE,
  ENDED,
  NOT_BEGUN,
  OWNER,
  RUN,
  STATES,
  UNDER_WAY,
} from "../../support/machine_states.ts";

const boots = (first_boot: typeof DONE, run = RUN) => ({
  "starting": { kind: "starting", stage: "greeting", run, first_boot } as const,
  "provisioning": {
    kind: "provisioning",
    stage: "scripts",
    run,
    first_boot,
    agent: AGENT,
  } as const,
});
const UNKNOWN = DONE;
const OTHERS = { kind: "under_way", operation: "op-of-another-up" } as const;
const live = { ready: { kind: "ready" }, agent: AGENT, since: 0 } as const;

/** name → state, what it does, exit. The interrupting client is the owner unless said otherwise. */
const CELLS: [string, MachineState, string, number, string?][] = [
  ["preparing, no disk yet", STATES["preparing gathering, new"], "wipe", 130],
  ["preparing, under way", STATES["preparing publishing, new"], "wipe", 130],
  ["preparing, an older disk", STATES["preparing gathering, existing"], "cancel", 130],
  ["preparing, swapping the disk of --reset", STATES["preparing publishing, reset"], "cancel", 130],
  ["starting, under way", boots(UNDER_WAY).starting, "wipe", 130],
  ["provisioning, under way", boots(UNDER_WAY).provisioning, "wipe", 130],
  ["starting, under way by another operation", boots(OTHERS).starting, "stop", 130],
  ["provisioning, under way by another operation", boots(OTHERS).provisioning, "stop", 130],
  ["starting, ended", boots(ENDED).starting, "stop", 130],
  ["provisioning, ended", boots(ENDED).provisioning, "stop", 130],
  ["starting, done", boots(DONE).starting, "stop", 130],
  ["provisioning, done", boots(DONE).provisioning, "stop", 130],
  ["starting, unknown", boots(UNKNOWN).starting, "stop", 130],
  ["starting, under way, by a bystander", boots(UNDER_WAY).starting, "leave", 130, "bystander"],
  ["provisioning, under way, detached", boots(UNDER_WAY, ALONE).provisioning, "leave", 130],
  ["running attached, done", { kind: "running", run: RUN, ...live }, "shut_down", 0],
  ["running attached, done, by a bystander", STATES["running attached"], "leave", 0, "bystander"],
  ["running detached, done", { kind: "running", run: ALONE, ...live }, "leave", 0],
  [
    "running, own scripts again",
    STATES["running, provisioning again"],
    "cancel_task",
    130,
    "asker",
  ],
  ["paused attached, done", STATES["paused"], "shut_down", 0],
  ["paused detached, done", STATES["paused, full disk"], "leave", 0],
  ["failed running, ended", STATES["failed running"], "leave", 0],
  ["failed off, ended", STATES["failed off"], "leave", 0],
  ["stopping, a second interrupt", STATES["stopping graceful"], "force", 130],
  ["stopping, by a bystander", STATES["stopping graceful"], "leave", 130, "bystander"],
  ["destroying, forced already", STATES["destroying forcing"], "leave", 0],
  ["absent, not begun", STATES["absent"], "leave", 0],
  ["stopped, done", STATES["stopped"], "leave", 0],
  ["stuck, unknown", STATES["stuck"], "leave", 0],
  ["over, unknown", STATES["over"], "leave", 0],
];

for (const [cell, state, does, exit, client = "owner"] of CELLS) {
  Deno.test(`interrupt: ${cell}`, () => {
    assert.deepEqual(verdictOf(state, client), { does, exit });
    const [next, effects] = step(state, { kind: "interrupt", operation: "op-9", client, at: 0 });
    const works = effects.filter((e) => e.kind === "work" || e.kind === "cancel");
    switch (does) {
      case "leave":
        assert.equal(next.kind, state.kind);
        assert.deepEqual(works, []);
        break;
      case "wipe":
        assert.ok(
          next.kind === "stopping" && next.goal.kind === "wiped" && next.how !== "graceful",
        );
        break;
      case "force":
        assert.ok(next.kind === "stopping" && next.how === "forced");
        break;
      case "cancel_task":
        assert.ok(next.kind === "running" && next.task?.cancelled);
        break;
      default:
        assert.ok(next.kind === "stopping" && next.goal.kind === "stopped");
    }
  });
}

Deno.test("interrupt: every phase has its cell", () => {
  const cells = new Set(CELLS.map(([, state]) => state.kind));
  assert.deepEqual(Object.keys(STATES).filter((name) => !cells.has(STATES[name].kind)), []);
});

Deno.test("interrupt: a wiped first boot is forced off first, then removed, then over", () => {
  let [state] = step(boots(UNDER_WAY).provisioning, {
    kind: "interrupt",
    operation: "op-9",
    client: "owner",
    at: 0,
  });
  const trail: string[] = [];
  const end = (event: Parameters<typeof step>[1]) => {
    const [next, effects] = step(state, event);
    trail.push(...effects.flatMap((e) => e.kind === "work" ? [`${e.work} ${e.operation}`] : []));
    state = next;
  };
  end({ kind: "failed", work: "provision", operation: "op-1", cause: CAUSE, at: 1 });
  end({ kind: "done", work: "force_off", operation: "op-9", result: {}, at: 2 });
  end({ kind: "done", work: "wipe", operation: "op-1", result: { left: "nothing" }, at: 3 });
  assert.deepEqual(trail, ["force_off op-9", "wipe op-1"]);
  assert.deepEqual(state, { kind: "over", how: "wiped" });
});

Deno.test("interrupt: --attach takes the ownership, but never the right to wipe another's disk", () => {
  const [taken] = step(boots(UNDER_WAY).provisioning, {
    kind: "up",
    operation: "op-9",
    client: "second",
    detach: false,
    attach: true,
    at: 0,
  });
  assert.equal(verdictOf(taken, "second").does, "stop");
  assert.equal(verdictOf(taken, "owner").does, "leave");
});

Deno.test("interrupt: not even the owner wipes once its own time-out struck or it detached", () => {
  for (const why of ["timeout", "detached", "gone"] as const) {
    const [left] = step(boots(UNDER_WAY).starting, {
      kind: "client_left",
      client: "owner",
      why,
      at: 0,
    });
    assert.equal(verdictOf(left, "owner").does, "leave", why);
  }
  assert.ok(OWNER.kind === "attached" && NOT_BEGUN.kind === "not_begun");
});
