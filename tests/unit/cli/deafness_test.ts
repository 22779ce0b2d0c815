import assert from "node:assert/strict";
import { deafness } from "../../../src/cli/deafness.ts";
import type { DaemonClient } from "../../../src/daemon/client.ts";
import { machinePaths, rumPaths } from "../../../src/plan/paths.ts";

const target = { paths: machinePaths(rumPaths({ uid: 1, home: "/none" }), "deadbeef") };
const LONG = 1_000_000;

function clientOf(ping: () => Promise<unknown>): Pick<DaemonClient, "request"> {
  return { request: ping as DaemonClient["request"] };
}

Deno.test("a daemon that stops answering is found out without an interrupt", async () => {
  let pings = 0;
  const client = clientOf(() => ++pings < 3 ? Promise.resolve({}) : new Promise(() => {}));
  using deaf = deafness(client, target, { interruptedMs: LONG, silentMs: 20, everyMs: 5 });
  await assert.rejects(deaf.never, { code: "daemon_hung", hint: /rum down/ });
  assert.ok(pings >= 3);
});

Deno.test("at an interrupt it is asked at once; one that answers, or fails otherwise, is not deaf", async () => {
  const times = { interruptedMs: 20, silentMs: LONG, everyMs: LONG };
  using deaf = deafness(clientOf(() => new Promise(() => {})), target, times);
  deaf.check();
  await assert.rejects(deaf.never, { code: "daemon_hung" });

  for (const answer of [() => Promise.resolve({}), () => Promise.reject(new Error("gone"))]) {
    using hearing = deafness(clientOf(answer), target, times);
    hearing.check();
    const waited = new Promise((resolve) => setTimeout(() => resolve("still waiting"), 60));
    assert.equal(await Promise.race([hearing.never, waited]), "still waiting");
  }
});
