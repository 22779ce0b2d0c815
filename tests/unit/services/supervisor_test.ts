import assert from "node:assert/strict";
import { running, spec, tcpHealth, World } from "./world.ts";

Deno.test("A service is starting, and running once it lived half a second", () => {
  const world = new World();
  world.apply(spec("web", { instances: 2 }));
  assert.deepEqual(world.states(), ["web/0 starting", "web/1 starting"]);
  world.pass(500);
  assert.deepEqual(world.states(), ["web/0 running", "web/1 running"]);
});

Deno.test("A crash at once is restarted after 1, 2, 4, 8, 16 s, and is fatal after 5 in 60 s", () => {
  const world = new World();
  world.apply(spec("web"));
  const delays: number[] = [];
  for (let i = 0; i < 5; i++) {
    world.exit("web", 0, { code: 1 });
    assert.deepEqual(world.states(), ["web/0 backoff"]);
    const before = world.ms;
    while (world.process("web", 0) === undefined) world.pass(250);
    delays.push(world.ms - before);
  }
  world.exit("web", 0, { signal: "SEGV" });
  assert.deepEqual(delays, [1000, 2000, 4000, 8000, 16000]);
  assert.deepEqual(world.states(), ["web/0 fatal"]);
  world.pass(600_000);
  assert.deepEqual(world.states(), ["web/0 fatal"]);
});

Deno.test("A fatal service comes back by start, with a clean slate", () => {
  const world = new World();
  world.spawns = () => false;
  world.apply(spec("web"));
  world.pass(60_000);
  assert.deepEqual(world.states(), ["web/0 fatal"]);
  world.spawns = () => true;
  assert.equal(world.code(world.request("start", "web")), "ok");
  world.pass(500);
  assert.deepEqual(world.states(), ["web/0 running"]);
  world.exit("web", 0, { code: 1 });
  assert.deepEqual(world.states(), ["web/0 backoff"]);
});

Deno.test("min_uptime: a process that lived long enough begins the back-off anew", () => {
  const world = running(spec("web"));
  world.exit("web", 0, { code: 1 });
  world.pass(1000);
  world.exit("web", 0, { code: 1 });
  world.pass(2000);
  world.pass(30_000);
  world.exit("web", 0, { code: 1 });
  world.pass(999);
  assert.deepEqual(world.states(), ["web/0 backoff"]);
  world.pass(1);
  assert.deepEqual(world.states(), ["web/0 starting"]);
});

for (
  const [policy, code, state] of [
    ["no", 0, "stopped"],
    ["no", 1, "crashed"],
    ["on-failure", 0, "stopped"],
    ["on-failure", 1, "backoff"],
    ["always", 0, "backoff"],
    ["always", 1, "backoff"],
  ] as const
) {
  Deno.test(`restart = "${policy}", exit ${code}: ${state}`, () => {
    const base = spec("web");
    const world = running({ ...base, restart: { ...base.restart, policy } });
    world.exit("web", 0, { code });
    assert.deepEqual(world.states(), [`web/0 ${state}`]);
  });
}

for (
  const [backoff, delays] of [["fixed", [1000, 1000, 1000]], ["linear", [
    1000,
    2000,
    2500,
  ]]] as const
) {
  Deno.test(`backoff = "${backoff}" waits ${delays.join(", ")} ms`, () => {
    const base = spec("web");
    const world = running({ ...base, restart: { ...base.restart, backoff, maxMs: 2500 } });
    for (const delay of delays) {
      world.exit("web", 0, { code: 1 });
      world.pass(delay - 1);
      assert.deepEqual(world.states(), ["web/0 backoff"]);
      world.pass(1);
      assert.deepEqual(world.states(), ["web/0 starting"]);
    }
  });
}

Deno.test("Health: unhealthy after three failures in a row, healthy again after two successes", () => {
  const health = tcpHealth({ intervalMs: 10_000, unhealthy: 3, healthy: 2 });
  const world = new World();
  world.apply(spec("web", { health }));
  const seen: string[] = [];
  const look = (ms: number) => {
    world.pass(ms);
    seen.push(world.states()[0].split(" ")[1]);
  };
  look(0);
  look(1000);
  world.healthy = () => false;
  for (let i = 0; i < 3; i++) look(10_000);
  world.healthy = () => true;
  for (let i = 0; i < 2; i++) look(1000);
  assert.deepEqual(seen, [
    ...["starting", "running", "running", "running", "unhealthy", "unhealthy", "running"],
  ]);
});

Deno.test("Health: a start has unhealthy × interval, however often it is looked at; so has each process of a reload", () => {
  const health = tcpHealth({ intervalMs: 5000, unhealthy: 3 });
  const world = new World();
  world.apply(spec("web", { health }));
  world.pass(1000);
  world.healthy = () => false;
  const id = world.request("reload", "web");
  world.pass(14_000);
  assert.deepEqual(world.states(), ["web/0 starting"]);
  assert.equal(world.replies.has(id), false);
  world.healthy = () => true;
  world.pass(1000);
  assert.deepEqual([world.states(), world.code(id)], [["web/0 running"], "ok"]);

  world.healthy = () => false;
  const late = world.request("reload", "web");
  world.pass(16_000);
  assert.deepEqual(world.states(), ["web/0 unhealthy"]);
  const reply = world.answer(late);
  assert.match(reply.ok ? "" : reply.message, /stopped at a new process that is unhealthy, /);
});

Deno.test("A service that ignores TERM gets KILL after its time-out, and stop is answered then", () => {
  const world = running(spec("web"));
  world.obeys = (_, signal) => signal === "KILL";
  const id = world.request("stop", "web");
  world.pass(9999);
  assert.equal(world.replies.has(id), false);
  assert.deepEqual(world.states(), ["web/0 stopping"]);
  world.pass(1);
  assert.equal(world.code(id), "ok");
  assert.deepEqual(world.trace.slice(-2), ["TERM web/0 #1", "KILL web/0 #1"]);
});

Deno.test("A process that not even KILL ends: the request is answered, and says so", () => {
  const world = running(spec("web"));
  world.obeys = () => false;
  const id = world.request("stop", "web");
  world.pass(15_000);
  assert.equal(world.code(id), "timeout");
  world.exit("web", 0, { signal: "KILL" });
  assert.deepEqual(world.states(), ["web/0 stopped"]);
});

Deno.test("after: services start in order, each when the one before runs", () => {
  const world = new World();
  world.apply(spec("web", { after: ["db"] }), spec("db", { after: ["disk"] }), spec("disk"));
  assert.deepEqual(world.trace, ["spawn disk/0 #1"]);
  world.pass(500);
  assert.deepEqual(world.trace, ["spawn disk/0 #1", "spawn db/0 #1"]);
  world.pass(500);
  assert.deepEqual(world.trace, ["spawn disk/0 #1", "spawn db/0 #1", "spawn web/0 #1"]);
});

Deno.test("after: 50 services × 2 instances start in order", () => {
  const world = new World();
  const names = Array.from({ length: 50 }, (_, i) => `s${i}`);
  world.apply(
    ...names.map((name, i) => spec(name, { instances: 2, after: i === 0 ? [] : [names[i - 1]] }))
      .reverse(),
  );
  world.pass(60_000);
  assert.deepEqual(
    world.trace,
    names.flatMap((name) => [`spawn ${name}/0 #1`, `spawn ${name}/1 #1`]),
  );
});

Deno.test("after: one that ended well has started; one that crashed holds back, and says so", () => {
  const base = spec("init");
  const once = { ...base, restart: { ...base.restart, policy: "no" as const } };
  const world = new World();
  world.apply(once, spec("web", { after: ["init"] }));
  world.exit("init", 0, { code: 1 });
  world.pass(10_000);
  assert.deepEqual(world.states(), ["init/0 crashed", "web/0 stopped"]);
  world.request("start", "init");
  world.exit("init", 0, { code: 0 });
  assert.deepEqual(world.states(), ["init/0 stopped", "web/0 starting"]);
});

Deno.test("A start by name does not wait for its turn; start all keeps the order", () => {
  const world = running(spec("db"), spec("web", { after: ["db"] }));
  world.pass(1000);
  world.request("stop", "all");
  world.trace.length = 0;
  assert.equal(world.code(world.request("start", "web")), "ok");
  assert.deepEqual(world.trace, ["spawn web/0 #2"]);
  world.request("stop", "all");
  world.trace.length = 0;
  assert.equal(world.code(world.request("start", "all")), "ok");
  world.pass(500);
  assert.deepEqual(world.trace, ["spawn db/0 #2", "spawn web/0 #3"]);
});

Deno.test("reload rolls: the next instance begins when the one before runs again", () => {
  const world = running(spec("web", { instances: 3 }));
  world.trace.length = 0;
  const id = world.request("reload", "web");
  assert.deepEqual(world.trace, ["TERM web/0 #1", "spawn web/0 #2"]);
  world.pass(1000);
  assert.equal(world.replies.has(id), false);
  assert.equal(world.states().filter((s) => s.endsWith("running")).length, 2);
  world.pass(1000);
  assert.equal(world.code(id), "ok");
  assert.equal(world.trace.length, 6);
});

Deno.test("reload ends at the first instance that does not come back, and leaves the rest running", () => {
  const world = running(spec("web", { instances: 3 }));
  world.spawns = () => false;
  const id = world.request("reload", "web");
  assert.equal(world.code(id), "exec_failed");
  assert.deepEqual(world.states(), ["web/0 backoff", "web/1 running", "web/2 running"]);
});

Deno.test("A changed command restarts what runs, a changed policy does not, a stopped one stays stopped", () => {
  const world = running(spec("web"), spec("off"));
  world.request("stop", "off");
  world.trace.length = 0;
  world.apply(spec("web", { log: { maxBytes: 4096, keep: 1 } }), spec("off"));
  assert.deepEqual(world.trace, []);
  world.apply(spec("web", { command: ["/bin/other"] }), spec("off", { command: ["/bin/other"] }));
  assert.deepEqual(world.trace, ["TERM web/0 #1", "spawn web/0 #2"]);
  assert.deepEqual(world.states(), ["web/0 starting", "off/0 stopped"]);
});

Deno.test("A later request wins, and the earlier one is told so", () => {
  const world = running(spec("web"));
  world.obeys = (_, signal) => signal === "KILL";
  const stop = world.request("stop", "web");
  const restart = world.request("restart", "web");
  assert.equal(world.code(stop), "cancelled");
  const again = world.request("stop", "web");
  assert.equal(world.code(restart), "cancelled");
  world.pass(10_000);
  assert.equal(world.code(again), "ok");
  assert.deepEqual(world.states(), ["web/0 stopped"]);
});
