import assert from "node:assert/strict";
import { checkHealth } from "../../../agent/services/health.ts";
import type { HealthSpec } from "../../../src/protocol/services.ts";
import { spec } from "../services/world.ts";

const PACE = { intervalMs: 1000, timeoutMs: 30_000, unhealthy: 3, healthy: 1 };

async function check(health: HealthSpec, options: { stop?: AbortSignal } = {}) {
  const signal = options.stop ?? new AbortController().signal;
  return await checkHealth(spec("web", { health, cwd: "/" }), { root: "", signal });
}

/** A port of this host that nobody listens on. */
function unusedPort(): number {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  return (listener.addr as Deno.NetAddr).port;
}

Deno.test("health http: 2xx and 3xx are well, the rest is not, and a redirect is not followed", async () => {
  await using server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen() {} },
    (request) => {
      const status = Number(new URL(request.url).pathname.slice(1));
      return new Response(null, { status, headers: { location: "/500" } });
    },
  );
  const at = (path: string) => `http://127.0.0.1:${server.addr.port}/${path}`;
  for (const status of [200, 204, 302]) {
    assert.deepEqual(await check({ ...PACE, kind: "http", url: at(`${status}`) }), { ok: true });
  }
  for (const status of [404, 500]) {
    assert.deepEqual(await check({ ...PACE, kind: "http", url: at(`${status}`) }), {
      ok: false,
      text: `health check: ${at(`${status}`)} answered ${status}`,
    });
  }
});

Deno.test("health tcp: well while the port takes a connection", async () => {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr as Deno.NetAddr;
  assert.deepEqual(await check({ ...PACE, kind: "tcp", port }), { ok: true });
  const closed = await check({ ...PACE, kind: "tcp", port: unusedPort() });
  assert.equal(closed.ok, false);
  assert.match(closed.text ?? "", /refused/i);
});

Deno.test("health exec: well while the command exits 0, whatever its name", async () => {
  assert.deepEqual(await check({ ...PACE, kind: "exec", command: ["true"] }), { ok: true });
  assert.deepEqual(await check({ ...PACE, kind: "exec", command: ["sh", "-c", "exit 3"] }), {
    ok: false,
    text: "health check: exited with 3",
  });
  const none = await check({ ...PACE, kind: "exec", command: ["/no/such/program"] });
  assert.equal(none.ok, false);
});

Deno.test("health: a check that takes longer than its time-out has failed, and what it ran is ended", async () => {
  // Takes connections and never answers.
  using mute = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const url = `http://127.0.0.1:${(mute.addr as Deno.NetAddr).port}/`;
  const late = { ...PACE, timeoutMs: 200 };
  const text = "health check: no answer within 200 ms";
  assert.deepEqual(await check({ ...late, kind: "http", url }), { ok: false, text });
  const command = ["sleep", "3600.0271"];
  assert.deepEqual(await check({ ...late, kind: "exec", command }), { ok: false, text });
  const left = [...Deno.readDirSync("/proc")].filter(({ name }) => {
    try {
      return /^\d+$/.test(name) &&
        Deno.readTextFileSync(`/proc/${name}/cmdline`) === "sleep\u00003600.0271\u0000";
    } catch {
      return false;
    }
  });
  assert.deepEqual(left, []);
});

Deno.test("health: the agent's end calls a check off", async () => {
  const stop = new AbortController();
  const asked = check({ ...PACE, kind: "exec", command: ["sleep", "3600"] }, { stop: stop.signal });
  stop.abort(new Error("the agent ends"));
  assert.deepEqual(await asked, { ok: false, text: "health check: the agent ends" });
});
