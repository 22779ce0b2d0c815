import assert from "node:assert/strict";
import { parseEnvFile } from "../../../src/daemon/env_file.ts";
import { shown } from "../../../src/daemon/hooks.ts";
import { createMachineServices } from "../../../src/daemon/services.ts";
import type { ServiceConfig } from "../../../src/config/types.ts";
import type { EventBody } from "../../../src/protocol/machine_events.ts";
import { agentBed } from "../../support/agent_in_process.ts";

const service = (name: string, script: string, instances = 1): ServiceConfig => ({
  name,
  command: ["sh", "-c", script],
  env: {},
  user: "root",
  instances,
  after: [],
  restart: {
    policy: "on-failure",
    max: 5,
    withinMs: 60_000,
    minUptimeMs: 30_000,
    backoff: "fixed",
    firstMs: 100,
    maxMs: 1000,
  },
  health: { kind: "none" },
  shutdown: { signal: "TERM", timeoutMs: 5000 },
  log: { maxBytes: 4096, keep: 2 },
});

Deno.test("parseEnvFile: names and values as they stand; a line that is neither tells its number, not itself", () => {
  assert.deepEqual(
    parseEnvFile(
      "\uFEFF# words\n\nA=1\r\n  B = x \nC=a=b#c\nD=\n__proto__=p\n".replace("B =", "B="),
      "f",
    ),
    Object.fromEntries([["A", "1"], ["B", " x "], ["C", "a=b#c"], ["D", ""], ["__proto__", "p"]]),
  );
  for (const bad of ["secret", "1A=secret", "A B=secret", "A=se\0cret"]) {
    assert.throws(
      () => parseEnvFile(`OK=1\n${bad}\n`, "/p/env"),
      (error: Error) => /^Line 2 of \/p\/env is not NAME=value$/.test(error.message),
    );
  }
});

Deno.test("A hook's document: no terminal control in any string, however deep", () => {
  const hostile = "\x1b]0;title\x07a\x1b[31mb\x9b2J\u202ec";
  assert.deepEqual(shown({ a: [{ b: hostile }], n: 1, t: true, z: null }), {
    a: [{ b: "abc" }],
    n: 1,
    t: true,
    z: null,
  });
});

Deno.test("Two links to one agent: what is known is replaced, and only the differences are told", async () => {
  await using bed = await agentBed();
  const told: string[] = [];
  let wake = () => {};
  const services = createMachineServices({
    emit(event: EventBody) {
      if (event.kind === "service") told.push(`${event.service}/${event.index} ${event.state}`);
      wake();
    },
    log: () => {},
  });
  const reaches = async (line: string) => {
    while (!told.includes(line)) await new Promise<void>((resolve) => wake = resolve);
  };
  const { signal } = new AbortController();
  const plan = { services: [service("web", "exec sleep 300", 2)] };
  assert.equal(services.missing(plan), "service web [0] is not there yet");
  const states = () => services.list(plan).map(({ name, index, state }) => [name, index, state]);
  // A daemon that has just begun does not know them, which is not that there are none.
  assert.deepEqual(states(), [["web", 0, "unknown"], ["web", 1, "unknown"]]);
  assert.deepEqual(services.list(), []);
  const first = await bed.connect();
  await services.attach(first, plan, signal);
  await reaches("web/0 running");
  await reaches("web/1 running");
  assert.equal(services.missing(plan), undefined);
  assert.deepEqual(states(), [["web", 0, "running"], ["web", 1, "running"]]);
  assert.equal(services.missing(plan, "web"), undefined);
  assert.throws(() => services.missing(plan, "nope"), { code: "service_not_found" });
  const before = services.list();

  const count = told.length;
  const second = await bed.connect();
  await services.attach(second, plan, signal);
  const one = { services: [service("web", "exec sleep 300", 1)] };
  assert.equal(await services.apply(second, one, signal), "0 to start, 0 to restart, 1 stopped");
  await reaches("web/1 gone");
  assert.deepEqual(told.slice(count), ["web/1 stopping", "web/1 gone"]);
  const [after] = services.list();
  assert.equal(after.pid, before[0].pid);
  assert.equal(after.started_at, before[0].started_at, "INV-D002");
  assert.ok(after.uptime_ms! >= before[0].uptime_ms!);
  assert.equal(await services.apply(second, one, signal), undefined);

  await services.stop(second, signal);
  await reaches("web/0 stopped");
  await assert.rejects(services.request(second, { verb: "start", name: "web" }, signal), {
    code: "shutting_down",
  });
  services.powerOff();
  assert.deepEqual(services.list(), []);
});
