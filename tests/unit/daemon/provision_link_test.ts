/** A link that was lost on the way to a ready machine: scripts wait for the next one, and what lives on it begins again. */
import assert from "node:assert/strict";
import { RumError } from "../../../src/base/errors.ts";
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

/** A clock that stands still, and what happens while somebody sleeps. */
const standing = (meanwhile: () => unknown) => ({
  now: () => new Date(0),
  monotonicMs: () => 0,
  sleep: () => Promise.resolve(void meanwhile()),
});

Deno.test("awaitReady: every link that comes is attached to once, also after the first", async () => {
  const plan = makePlan(sampleConfig(), sampleFacts());
  const [first, second] = [{ name: "first" }, { name: "second" }];
  const clients = [first, undefined, second, second];
  const attached: unknown[] = [];
  let looks = 0;
  const port = createGuestPort({
    session: () => ({
      ready: () => Promise.resolve(first),
      get client() {
        return clients[Math.min(looks, clients.length - 1)];
      },
    }),
    plan: () => ({ ...plan, ready: { services: true, timeoutMs: 600_000 } }),
    attach: (client: unknown) => Promise.resolve(void attached.push(client)),
    servicesOver: () => undefined,
    servicesReady: () => Promise.resolve(looks < 3 ? "service web [0] is starting" : undefined),
    clock: standing(() => looks++),
  } as never);
  const signal = new AbortController().signal;
  const answer = await port.awaitReady({ operation: "o", signal, deadlineMs: 600_000 });
  assert.deepEqual(answer, { ready: true });
  assert.deepEqual(attached, [first, second]);
});

Deno.test("awaitReady: a link that ends while it is attached to is no failure, and no ready either", async () => {
  const plan = makePlan(sampleConfig(), sampleFacts());
  const [first, second] = [{ name: "first" }, { name: "second" }];
  const trace: string[] = [];
  let client: { name: string } | undefined = first;
  const port = createGuestPort({
    session: () => ({ ready: () => Promise.resolve(first), client }),
    plan: () => ({ ...plan, ready: { services: true, timeoutMs: 600_000 } }),
    attach({ name }: { name: string }) {
      trace.push(`attach ${name}`);
      if (name === "second") return Promise.resolve();
      client = undefined;
      return Promise.reject(new RumError("agent_unavailable", "no link"));
    },
    servicesOver: () => undefined,
    servicesReady: () => Promise.resolve(void trace.push("services")),
    clock: standing(() => client = second),
  } as never);
  const signal = new AbortController().signal;
  const answer = await port.awaitReady({ operation: "o", signal, deadlineMs: 600_000 });
  assert.deepEqual(answer, { ready: true });
  assert.deepEqual(trace, ["attach first", "attach second", "services"]);
});

Deno.test("awaitReady: a service that nothing starts again ends the wait, and is named", async () => {
  const plan = makePlan(sampleConfig(), sampleFacts());
  const client = { name: "first" };
  let looks = 0;
  const port = createGuestPort({
    session: () => ({ ready: () => Promise.resolve(client), client }),
    plan: () => ({ ...plan, ready: { services: true, timeoutMs: 600_000 } }),
    attach: () => Promise.resolve(),
    servicesReady: () => Promise.resolve("service flaky [0] is fatal"),
    servicesOver: () =>
      looks < 2 ? undefined : "service flaky [0] is fatal, and is not started again",
    clock: standing(() => looks++),
  } as never);
  const signal = new AbortController().signal;
  const answer = await port.awaitReady({ operation: "o", signal, deadlineMs: 600_000 });
  assert.deepEqual(answer, {
    ready: false,
    why: "service flaky [0] is fatal, and is not started again",
  });
  assert.equal(looks, 2);
});
