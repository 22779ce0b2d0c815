/** May this request act now? One snapshot is the whole page of answers. */
import assert from "node:assert/strict";
import { admit } from "../../../src/machine/admit.ts";
import type { Event, Request } from "../../../src/machine/events.ts";
import { step } from "../../../src/machine/step.ts";
import { EVENTS, STATES } from "../../support/machine_states.ts";

const REQUESTS = Object.entries(EVENTS).filter(([name]) =>
  ["up", "up --attach", "up --reset", "down", "destroy", "restart", "pause", "resume", "provision"]
    .includes(name) || name.startsWith("interrupt") || name === "release"
) as [string, Request & Event][];

Deno.test("admit: every phase and request", async (t) => {
  const lines = Object.entries(STATES).flatMap(([stateName, state]) => {
    const byAnswer = new Map<string, string[]>();
    for (const [name, request] of REQUESTS) {
      const answer = admit(state, request);
      const said = answer.kind === "refuse" ? `refuse ${answer.code}` : answer.kind;
      byAnswer.set(said, [...byAnswer.get(said) ?? [], name]);
    }
    return [stateName, ...[...byAnswer].map(([said, names]) => `  ${said}: ${names.join(", ")}`)];
  });
  await t.assertSnapshot(lines.join("\n"));
});

Deno.test("admit: what may act now does act, and what pre-empts never waits", () => {
  for (const [stateName, state] of Object.entries(STATES)) {
    for (const [name, request] of REQUESTS) {
      const answer = admit(state, request);
      const where = `${stateName}, ${name}`;
      if (["down", "destroy", "interrupt"].includes(request.kind)) {
        assert.notEqual(answer.kind, "wait", where);
      }
      if (answer.kind === "refuse") assert.ok(answer.hint !== undefined, where);
      // Interrupts may mean nothing, and a second down only joins the stop under way.
      if (answer.kind !== "now" || request.kind === "interrupt") continue;
      if (request.kind === "down" && state.kind === "stopping") continue;
      const [next, effects] = step(state, request);
      assert.ok(next !== state || effects.length > 0, `${where} was let in and did nothing`);
    }
  }
});
