/** The named contracts of supervision (CONTRACTS.md), each a test of that name. */
import assert from "node:assert/strict";
import { running, spec, tcpHealth, World } from "./world.ts";

Deno.test("INV-D002: an instance's start time never changes while its process lives", () => {
  const health = tcpHealth();
  const world = running(spec("web", { health }));
  const started = () => {
    const instance = world.state.services.get("web")!.instances[0];
    return "startedAt" in instance ? instance.startedAt : undefined;
  };
  for (let i = 0; i < 50; i++) {
    world.healthy = () => i % 3 === 0;
    world.pass(1000);
    assert.equal(started(), "t1000");
  }
  world.request("restart", "web");
  assert.equal(started(), `t${world.ms}`);
});

Deno.test("INV-D004: removing a service stops it first and drops it when it has ended", () => {
  const world = running(spec("web"), spec("db"));
  world.obeys = (_, signal) => signal === "KILL";
  const id = world.apply(spec("db"));
  assert.deepEqual(world.states(), ["web/0 stopping", "db/0 running"]);
  assert.equal(world.replies.has(id), false);
  world.pass(10_000);
  assert.deepEqual(world.states(), ["db/0 running"]);
  assert.equal(world.code(id), "ok");
  assert.equal(world.code(world.request("start", "web")), "service_not_found");
});

Deno.test("INV-D004: a service that comes back while it is being removed starts again when it ended", () => {
  const world = running(spec("web"));
  world.obeys = (_, signal) => signal === "KILL";
  world.apply();
  world.apply(spec("web"));
  world.pass(10_000);
  assert.deepEqual(world.states(), ["web/0 starting"]);
  assert.deepEqual([...world.replies.values()].map((r) => r.ok), [true, true, true]);
});

Deno.test("INV-D005: an instance is keyed by service and index, once", () => {
  const world = running(spec("web", { instances: 3 }));
  world.apply(spec("web", { instances: 3 }));
  assert.deepEqual(world.states(), ["web/0 running", "web/1 running", "web/2 running"]);
  assert.equal(world.processes.size, 3);
});

Deno.test("INV-D006: scaling down stops the highest index first, scaling up fills from below", () => {
  const world = running(spec("web", { instances: 4 }));
  world.trace.length = 0;
  world.apply(spec("web", { instances: 2 }));
  assert.deepEqual(world.trace.filter((line) => line.startsWith("TERM")), [
    ...["TERM web/3 #1", "TERM web/2 #1"],
  ]);
  assert.deepEqual(world.states(), ["web/0 running", "web/1 running"]);
  world.apply(spec("web", { instances: 3 }));
  assert.deepEqual(world.states(), ["web/0 running", "web/1 running", "web/2 starting"]);
});

Deno.test("INV-D006: scaled up again before the extra one has ended, it starts again", () => {
  const world = running(spec("web", { instances: 2 }));
  world.obeys = (_, signal) => signal === "KILL";
  world.apply(spec("web", { instances: 1 }));
  world.apply(spec("web", { instances: 2 }));
  world.pass(11_000);
  assert.deepEqual(world.states(), ["web/0 running", "web/1 running"]);
});

Deno.test("INV-D006: a restart does not bring back what is being scaled away", () => {
  const world = running(spec("web", { instances: 2 }));
  world.obeys = (_, signal) => signal === "KILL";
  world.apply(spec("web", { instances: 1 }));
  assert.deepEqual(world.states(), ["web/0 running", "web/1 stopping"]);
  const id = world.request("restart", "web");
  world.pass(11_000);
  assert.equal(world.code(id), "ok");
  assert.deepEqual(world.states(), ["web/0 running"]);
});

Deno.test("INV-D004: scaled away while its spawn is under way, it is ended when it is there", () => {
  const world = new World();
  world.spawnMs = 50;
  world.apply(spec("web", { instances: 2 }));
  const id = world.apply(spec("web"));
  assert.equal(world.replies.has(id), false);
  world.pass(1000);
  assert.deepEqual(world.trace.filter((line) => line.includes("web/1")), [
    ...["spawn web/1 #1", "TERM web/1 #1", "forget web/1"],
  ]);
  assert.equal(world.code(id), "ok");
  assert.deepEqual(world.states(), ["web/0 running"]);
});

Deno.test("CTR-D003: a pid exists exactly while starting, running or unhealthy", () => {
  // The world checks it after every event; here every state is met once.
  const world = new World();
  world.healthy = () => false;
  world.obeys = (_, signal) => signal === "KILL";
  const seen = new Set<string>();
  const note = () => world.states().forEach((line) => seen.add(line.split(" ")[1]));
  const base = spec("web");
  world.apply(
    { ...base, health: tcpHealth({ unhealthy: 2 }) },
    { ...spec("once"), restart: { ...base.restart, policy: "no" } },
    spec("ill"),
  );
  note();
  world.pass(2000);
  note();
  world.exit("once", 0, { code: 3 });
  note();
  world.healthy = () => true;
  world.pass(1000);
  note();
  world.exit("web", 0, { code: 3 });
  note();
  world.request("stop", "ill");
  note();
  world.pass(10_000);
  note();
  world.spawns = () => false;
  world.request("restart", "ill");
  world.pass(60_000);
  note();
  assert.deepEqual([...seen].sort(), [
    ...["backoff", "crashed", "fatal", "running", "starting", "stopped", "stopping", "unhealthy"],
  ]);
});

Deno.test("CTR-D004: late news of an old generation changes nothing", () => {
  const world = running(spec("web"));
  world.request("restart", "web");
  world.pass(1000);
  const before = world.state;
  const key = { service: "web", index: 0 };
  world.tell(key, { kind: "exited", generation: 1, code: 1 });
  world.tell(key, { kind: "spawn_failed", generation: 1, text: "late" });
  world.tell(key, { kind: "checked", generation: 1, ok: false });
  world.tell(key, { kind: "timer", timer: "kill", generation: 1 });
  world.tell({ service: "web", index: 7 }, { kind: "exited", generation: 1, code: 1 });
  world.tell({ service: "gone", index: 0 }, { kind: "exited", generation: 1, code: 1 });
  assert.deepEqual(world.state, before);
});

Deno.test("CTR-D004: a place taken again is not moved by news of the one before", () => {
  const world = running(spec("web", { instances: 2 }), spec("db"));
  world.apply(spec("web"));
  world.healthy = () => false;
  const health = tcpHealth({ unhealthy: 9 });
  world.apply(spec("web", { instances: 2, health }), spec("db", { health }));
  const before = world.state;
  for (const key of [{ service: "web", index: 1 }, { service: "db", index: 0 }]) {
    assert.equal(before.services.get(key.service)?.instances[key.index].kind, "starting");
    // A check that was out when it was scaled away, or its service removed.
    world.tell(key, { kind: "checked", generation: 1, ok: true });
  }
  assert.deepEqual(world.state, before);
});

Deno.test("CTR-D011: start is refused when any instance runs", () => {
  const base = spec("web", { instances: 2 });
  const world = running({ ...base, restart: { ...base.restart, policy: "no" } });
  world.exit("web", 1, { code: 1 });
  const id = world.request("start", "web");
  assert.equal(world.code(id), "service_already_running");
  assert.match(world.answer(id).message, /"web" runs already: 1 of 2 instances/);
});

Deno.test("CTR-D012: stop is refused when none runs", () => {
  const world = running(spec("web"));
  assert.equal(world.code(world.request("stop", "web")), "ok");
  assert.equal(world.code(world.request("stop", "web")), "service_not_running");
  assert.equal(world.code(world.request("reload", "web")), "service_not_running");
  assert.equal(world.code(world.request("stop", "nobody")), "service_not_found");
});

Deno.test("CTR-D013: restart works from every state", () => {
  const base = spec("web");
  const always: Record<string, (world: World) => void> = {
    starting: () => {},
    running: (world) => world.pass(500),
    stopped: (world) => void world.request("stop", "web"),
    backoff: (world) => world.exit("web", 0, { code: 1 }),
    fatal: (world) => {
      world.spawns = () => false;
      world.exit("web", 0, { code: 1 });
      world.pass(60_000);
      world.spawns = () => true;
    },
    stopping: (world) => {
      world.obeys = (_, signal) => signal === "KILL";
      world.request("stop", "web");
    },
  };
  for (const [state, reach] of Object.entries(always)) {
    const world = new World();
    world.apply(base);
    reach(world);
    assert.deepEqual(world.states(), [`web/0 ${state}`]);
    const id = world.request("restart", "web");
    world.pass(12_000);
    assert.equal(world.code(id), "ok", state);
    assert.deepEqual(world.states(), ["web/0 running"], state);
    assert.equal(world.processes.size, 1);
  }
});

Deno.test("INV-D001: shutdown stops all at once, and nothing starts after it", () => {
  const base = spec("web", { instances: 2 });
  const world = running({ ...base, restart: { ...base.restart, policy: "always" } }, spec("db"));
  world.obeys = (name) => name === "db";
  const id = world.shutdown();
  assert.deepEqual(world.states(), ["web/0 stopping", "web/1 stopping", "db/0 stopped"]);
  for (const verb of ["start", "stop", "restart", "reload"] as const) {
    assert.equal(world.code(world.request(verb, "db")), "shutting_down");
  }
  assert.equal(world.code(world.apply(spec("db"))), "shutting_down");
  world.obeys = () => true;
  world.pass(10_000);
  assert.equal(world.code(id), "ok");
  world.pass(1_000_000);
  assert.equal(world.processes.size, 0);
  assert.equal(world.code(world.shutdown()), "ok");
});
