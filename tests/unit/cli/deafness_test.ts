import assert from "node:assert/strict";
import { RumError } from "../../../src/base/errors.ts";
import { deafness, unlessDeaf } from "../../../src/cli/deafness.ts";
import { askLine, type AskOptions, hungError } from "../../../src/daemon/ask_line.ts";
import type { DaemonClient } from "../../../src/daemon/client.ts";
import { machinePaths, rumPaths } from "../../../src/plan/paths.ts";

const target = { paths: machinePaths(rumPaths({ uid: 1, home: "/none" }), "deadbeef") };
const LONG = 1_000_000;

/** As askLine does with a daemon that does not answer. */
function noAnswer(_paths: unknown, _word: unknown, { timeoutMs, signal }: AskOptions) {
  return new Promise<never>((_, reject) => {
    const timer = setTimeout(() => reject(hungError("socket", timeoutMs)), timeoutMs);
    signal?.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(signal.reason);
    });
  });
}

Deno.test("a daemon that stops answering is found out without an interrupt", async () => {
  let pings = 0;
  const ask: typeof askLine = (...args) => ++pings < 3 ? Promise.resolve({}) : noAnswer(...args);
  using deaf = deafness(target, { interruptedMs: LONG, silentMs: 20, everyMs: 5 }, ask);
  await assert.rejects(deaf.never, { code: "daemon_hung", hint: /rum down/ });
  assert.ok(pings >= 3);
});

Deno.test("at an interrupt it is asked at once; one that answers, or is gone, is not deaf", async () => {
  const times = { interruptedMs: 20, silentMs: LONG, everyMs: LONG };
  using deaf = deafness(target, times, noAnswer);
  deaf.check();
  await assert.rejects(deaf.never, { code: "daemon_hung" });

  const gone = new RumError("daemon_unreachable", "nobody listens");
  for (const answer of [() => Promise.resolve({}), () => Promise.reject(gone), askLine]) {
    using hearing = deafness(target, times, answer);
    hearing.check();
    const waited = new Promise((resolve) => setTimeout(() => resolve("still waiting"), 60));
    assert.equal(await Promise.race([hearing.never, waited]), "still waiting");
  }
});

Deno.test("a request whose daemon hears nobody any more ends, and with its client the asking", async () => {
  let closed = 0;
  const client = {
    request: () => new Promise(() => {}),
    close: () => Promise.resolve(void closed++),
  } as unknown as DaemonClient;
  const times = { interruptedMs: LONG, silentMs: 20, everyMs: 5 };
  await using hearing = unlessDeaf(client, target, deafness(target, times, noAnswer));
  await assert.rejects(hearing.request("exec", { argv: ["sleep", "9"] } as never), {
    code: "daemon_hung",
  });
  await hearing.close();
  assert.equal(closed, 1);
});
