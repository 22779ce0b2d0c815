/** A link that was lost while folders were copied: scripts wait for the next one. */
import assert from "node:assert/strict";
import { createGuestPort } from "../../../src/daemon/guest_port.ts";
import { makePlan } from "../../../src/plan/plan.ts";
import { sampleConfig, sampleFacts } from "../plan/sample.ts";

Deno.test("provision: an agent that was lost during the first copy is waited for, then scripts run", async () => {
  const plan = makePlan(sampleConfig(), sampleFacts());
  const trace: string[] = [];
  const client = (name: string) => ({
    hello: { bootId: "boot-1", instance: name },
    apply: () => Promise.resolve((trace.push(`${name} apply`), [])),
    provision: () =>
      Promise.resolve((trace.push(`${name} scripts`), { ok: true, ran: [], skipped: [] })),
  });
  const session: { require: () => unknown; ready: () => Promise<unknown> } = {
    require: () => client("first"),
    ready: () => Promise.resolve(client("second")),
  };
  const port = createGuestPort({
    session: () => session,
    plan: () => plan,
    adoptPlan: () => Promise.resolve(),
    machineKey: () => Promise.resolve("ssh-ed25519 AAAA"),
    emit: () => {},
    logs: { take: () => {}, resume: () => Promise.resolve(undefined) },
    copyFolders() {
      session.require = () => assert.fail("there is no agent now");
      return Promise.resolve();
    },
  } as never);
  const signal = new AbortController().signal;
  await port.provision({ operation: "o", signal, deadlineMs: 600_000, scope: "due", boot: true });
  assert.deepEqual(trace, ["first apply", "second scripts"]);
});
