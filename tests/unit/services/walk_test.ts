import assert from "node:assert/strict";
import fc from "fast-check";
import { spec, tcpHealth, World } from "./world.ts";

const NAMES = ["a", "b", "c"] as const;

const anySpec = fc.record({
  name: fc.constantFrom(...NAMES),
  instances: fc.integer({ min: 1, max: 3 }),
  after: fc.subarray([...NAMES]),
  policy: fc.constantFrom("no" as const, "on-failure" as const, "always" as const),
  program: fc.constantFrom("/bin/x", "/bin/y"),
  checked: fc.boolean(),
});

const health = tcpHealth({ timeoutMs: 100, unhealthy: 2 });

const anyStep = fc.oneof(
  fc.record({
    do: fc.constantFrom("start" as const, "stop" as const, "restart" as const, "reload" as const),
    name: fc.constantFrom(...NAMES, "all", "nobody"),
  }),
  fc.record({
    do: fc.constant("apply" as const),
    specs: fc.uniqueArray(anySpec, { selector: (s) => s.name, maxLength: 3 }),
  }),
  fc.record({ do: fc.constant("pass" as const), ms: fc.integer({ min: 1, max: 20_000 }) }),
  fc.record({ do: fc.constant("exit" as const), pick: fc.nat(20), code: fc.nat(1) }),
  fc.record({
    do: fc.constant("late" as const),
    name: fc.constantFrom(...NAMES),
    index: fc.nat(3),
    back: fc.integer({ min: 1, max: 3 }),
  }),
  fc.record({
    do: fc.constant("weather" as const),
    obeys: fc.boolean(),
    spawns: fc.boolean(),
    healthy: fc.boolean(),
    spawnMs: fc.constantFrom(0, 0, 50, 3000),
  }),
);

/**
 * The everyday run is one fixed sample of lives, so that main is judged by the change and not by the
 * dice; FULL=1 throws them anew.
 */
function runs(full: number, sample: number): { numRuns: number; seed?: number } {
  return Deno.env.get("FULL") === "1" ? { numRuns: full } : { numRuns: sample, seed: 20261121 };
}

Deno.test("Random lives: the invariants hold after every event, and every request is answered once", () => {
  fc.assert(
    fc.property(fc.array(anyStep, { maxLength: 60 }), (steps) => {
      const world = new World();
      for (const step of steps) {
        switch (step.do) {
          case "apply":
            world.apply(...step.specs.map(({ policy, program, checked, ...over }) => {
              const base = spec(over.name, over);
              return {
                ...base,
                command: [program],
                after: over.after.filter((name) => name > over.name),
                restart: { ...base.restart, policy },
                ...(checked ? { health } : {}),
              };
            }));
            break;
          case "pass":
            world.pass(step.ms);
            break;
          case "exit": {
            const all = [...world.processes.values()];
            const one = all[step.pick % Math.max(1, all.length)];
            if (one !== undefined) {
              world.exit(one.key.service, one.key.index, { code: step.code });
            }
            break;
          }
          case "late": {
            const instance = world.state.services.get(step.name)?.instances[step.index];
            const before = world.state.services;
            const generation = (instance?.generation ?? 0) - step.back;
            world.tell({ service: step.name, index: step.index }, {
              ...{ kind: "exited", generation, code: 1 },
            });
            assert.deepEqual(world.state.services, before);
            break;
          }
          case "weather":
            world.obeys = (_, signal) => step.obeys || signal === "KILL";
            world.spawns = () => step.spawns;
            world.healthy = () => step.healthy;
            world.spawnMs = step.spawnMs;
            break;
          default:
            world.request(step.do, step.name);
        }
      }
      const last = world.shutdown();
      world.pass(600_000);
      assert.equal(world.code(last), "ok");
      assert.equal(world.processes.size, 0);
      assert.deepEqual([...world.asked].filter((id) => !world.replies.has(id)), []);
      assert.equal(world.state.pending.length, 0);
    }),
    runs(20_000, 150),
  );
});

Deno.test("Random lives without a shutdown: no request waits for ever", () => {
  fc.assert(
    fc.property(fc.array(anyStep, { maxLength: 40 }), (steps) => {
      const world = new World();
      world.apply(...NAMES.map((name) => spec(name, { instances: 2, health })));
      for (const step of steps) {
        if (step.do === "pass") world.pass(step.ms);
        else if (step.do === "weather") {
          world.obeys = () => step.obeys;
          world.spawns = () => step.spawns;
          world.healthy = () => step.healthy;
          world.spawnMs = step.spawnMs;
        } else if ("name" in step && step.do !== "late") world.request(step.do, step.name);
      }
      world.obeys = (_, signal) => signal === "KILL";
      // As long as it takes and no longer: ten minutes of health checks are most of a run's cost.
      for (let s = 0; s < 600 && world.state.pending.length > 0; s++) world.pass(1000);
      assert.deepEqual([...world.asked].filter((id) => !world.replies.has(id)), []);
    }),
    runs(20_000, 150),
  );
});
