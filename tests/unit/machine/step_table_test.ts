/** Every (phase, event) pair, as a table that a reviewer can read, and what holds in all of them. */
import assert from "node:assert/strict";
import type { Effect } from "../../../src/machine/effects.ts";
import { DEFAULT_RULES, step } from "../../../src/machine/step.ts";
import { describePhase, firstBootOf, isWorking, ownerOf } from "../../../src/machine/state.ts";
import { EVENTS, STATES } from "../../support/machine_states.ts";

function sayEffect(effect: Effect): string | undefined {
  switch (effect.kind) {
    case "work":
      return effect.work;
    case "cancel":
      return "cancel";
    case "save":
      return undefined;
    case "emit":
      return effect.event.kind === "phase" ? undefined : `(${effect.event.kind})`;
  }
}

Deno.test("step: every phase and event, what follows", async (t) => {
  const lines: string[] = [];
  for (const [stateName, state] of Object.entries(STATES)) {
    lines.push(`${stateName}`);
    let ignored = 0;
    // Where any work's end does the same, it is one line and not thirty.
    const ends = new Map<string, string[]>();
    for (const [eventName, event] of Object.entries(EVENTS)) {
      for (const onCrash of ["none", "restart"] as const) {
        const [next, effects] = step(state, event, { ...DEFAULT_RULES, onCrash });
        if (next === state && effects.length === 0) {
          if (onCrash === "none") ignored++;
          continue;
        }
        const said = effects.map(sayEffect).filter((s) => s !== undefined);
        const fact = firstBootOf(next).kind;
        const outcome = `${describePhase(next)} [${fact}, ${ownerOf(next).kind}]` +
          (said.length === 0 ? "" : ` : ${said.join(", ")}`);
        const line = `  ${eventName} → ${outcome}`;
        if (isWorking(state) && ["done", "failed"].includes(event.kind) && onCrash === "none") {
          ends.set(outcome, [...ends.get(outcome) ?? [], eventName]);
          continue;
        }
        if (onCrash === "none") lines.push(line);
        else if (!lines.includes(line) && !ends.has(outcome)) {
          lines.push(`${line}   with on_crash = restart`);
        }
      }
    }
    for (const [outcome, names] of ends) {
      const which = names.length > 20 ? "the end of whatever it was" : names.join(" | ");
      lines.push(`  ${which} → ${outcome}`);
    }
    lines.push(`  (${ignored} others mean nothing here)`);
  }
  await t.assertSnapshot(lines.join("\n"));
});

Deno.test("step: in every pair the record comes first and at most one work begins", () => {
  for (const [stateName, state] of Object.entries(STATES)) {
    for (const [eventName, event] of Object.entries(EVENTS)) {
      for (const onCrash of ["none", "restart", "preserve"] as const) {
        const where = `${stateName}, ${eventName}`;
        const [next, effects] = step(state, event, { ...DEFAULT_RULES, onCrash });
        const kinds = effects.map((e) => e.kind);
        const works = effects.filter((e) => e.kind === "work");
        assert.ok(works.length <= 1, where);
        assert.ok(kinds.filter((k) => k === "save").length <= 1, `${where}: one write per step`);
        if (kinds.includes("save")) assert.equal(kinds[0], "save", where);
        if (works.length === 1) {
          assert.ok(isWorking(next), `${where}: a phase with work knows that it works`);
          // A phase that works may only begin more after the end of what it had.
          if (isWorking(state)) assert.ok(["done", "failed"].includes(event.kind), where);
        }
        if (kinds.includes("cancel")) assert.ok(isWorking(state), where);
      }
    }
  }
});

Deno.test("step: nothing leads out of over, and nothing follows from it", () => {
  for (const how of ["destroyed", "wiped", "released"] as const) {
    const state = { kind: "over", how } as const;
    for (const [name, event] of Object.entries(EVENTS)) {
      const [next, effects] = step(state, event);
      assert.equal(next, state, name);
      assert.deepEqual(effects, [], name);
    }
  }
});

Deno.test("step: the first-boot fact is on record before the disk becomes visible", () => {
  const [, effects] = step(STATES["preparing gathering, new"], EVENTS["gathered new"]);
  const [save, ...rest] = effects;
  assert.equal(save.kind, "save");
  assert.ok(save.kind === "save" && save.barrier);
  assert.deepEqual(save.patch.first_boot, { kind: "under_way", operation: "op-1" });
  assert.ok(rest.some((e) => e.kind === "work" && e.work === "publish"));
});

Deno.test("step: the sentinel is on record before the scripts begin", () => {
  const [, effects] = step(STATES["starting greeting, first"], EVENTS["hello with sentinel"]);
  assert.ok(effects[0].kind === "save" && effects[0].patch.first_boot?.kind === "done");
  assert.ok(effects.some((e) => e.kind === "work" && e.work === "provision"));
});
