import assert from "node:assert/strict";
import { sessionMembers } from "../../agent/exec/session_end.ts";
import { rotateLog, tailLog } from "../../agent/services/log_files.ts";
import { ServiceRunner } from "../../agent/services/runner.ts";
import { Supervision } from "../../agent/services/supervision.ts";
import { withDeadline } from "../../src/base/deadline.ts";
import type { ServiceNews } from "../../src/protocol/service_calls.ts";
import type { InstanceView, ServiceSpec } from "../../src/protocol/services.ts";
import { until } from "../support/folder_bed.ts";

function spec(name: string, script: string, over: Partial<ServiceSpec> = {}): ServiceSpec {
  return {
    name,
    command: ["/bin/sh", "-c", script],
    cwd: "/",
    env: {},
    user: "root",
    instances: 1,
    after: [],
    restart: {
      policy: "on-failure",
      max: 5,
      withinMs: 60_000,
      minUptimeMs: 30_000,
      backoff: "fixed",
      firstMs: 20,
      maxMs: 1000,
    },
    health: { kind: "none" },
    shutdown: { signal: "TERM", timeoutMs: 5000 },
    log: { maxBytes: 1 << 20, keep: 3 },
    ...over,
  };
}

/** A runner in a folder of its own; everything that it started is gone when the test ends. */
class Rig implements AsyncDisposable {
  readonly folder: string;
  runner!: ServiceRunner;
  readonly pids = new Set<number>();
  #looks: (() => void)[] = [];

  constructor() {
    this.folder = Deno.makeTempDirSync({ prefix: "rum-services-" });
  }

  async open(): Promise<ServiceRunner> {
    this.runner = await ServiceRunner.open({
      state: `${this.folder}/state`,
      run: `${this.folder}/run`,
      root: "",
      log: () => {},
      onChange: (view) => {
        if (view.pid !== undefined) this.pids.add(view.pid);
        this.#looks.forEach((look) => look());
      },
    });
    return this.runner;
  }

  view(service: string, index = 0): InstanceView {
    const view = this.runner.views().find((v) => v.service === service && v.index === index);
    assert.ok(view, `no instance ${service}/${index}`);
    return view;
  }

  async reaches(service: string, state: string, index = 0): Promise<InstanceView> {
    return await withDeadline(
      {
        waitingFor: `${service}/${index} to be ${state}`,
        timeoutMs: 60_000,
        lastSeen: () => JSON.stringify(this.runner.views()),
      },
      (signal) =>
        new Promise((resolve) => {
          const look = () => {
            const view = this.view(service, index);
            if (view.state === state) resolve(view);
          };
          this.#looks.push(look);
          signal.addEventListener("abort", () => this.#looks = []);
          look();
        }),
    );
  }

  /** A service runs before its program has said anything; so its words are waited for. */
  async logs(wanted: string, service: string, index = 0): Promise<void> {
    let log = "";
    await until(
      async () => (log = await this.runner.tail({ service, index }, 1000)) === wanted,
      () => `wanted ${JSON.stringify(wanted)}, have ${JSON.stringify(log)}`,
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.runner.shutdown();
    await this.runner.close();
    for (const pid of this.pids) assert.deepEqual(sessionMembers(pid), [], `left of ${pid}`);
    await Deno.remove(this.folder, { recursive: true });
  }
}

Deno.test("A service runs with its environment, folder and log, and its values are in no argv", async () => {
  await using rig = new Rig();
  const runner = await rig.open();
  const reply = await runner.apply([
    spec("web", `echo "in $PWD with $SECRET"; echo err >&2; sleep 300`, {
      ...{ cwd: "/tmp", env: { SECRET: "hush" } },
    }),
  ]);
  assert.equal(reply.ok, true);
  const { pid } = await rig.reaches("web", "running");
  await rig.logs("in /tmp with hush\nerr\n", "web");
  for (const member of sessionMembers(pid!)) {
    assert.doesNotMatch(await Deno.readTextFile(`/proc/${member}/cmdline`), /hush/);
  }
});

Deno.test("Stopping ends the whole session, also one that ignores TERM", async () => {
  await using rig = new Rig();
  const runner = await rig.open();
  await runner.apply([
    spec("deaf", `trap '' TERM; sh -c 'trap "" TERM; sleep 300' & sleep 300; sleep 300`, {
      shutdown: { signal: "TERM", timeoutMs: 200 },
    }),
  ]);
  const { pid } = await rig.reaches("deaf", "running");
  assert.ok(sessionMembers(pid!).length >= 2);
  assert.deepEqual(await runner.request("stop", "deaf"), {
    ...{ ok: true, message: 'Stopped service "deaf"' },
  });
  assert.deepEqual(sessionMembers(pid!), []);
  assert.match(rig.view("deaf").text!, /after KILL/);
});

Deno.test("A service that crashes at once is fatal after five restarts, and comes back by start", async () => {
  await using rig = new Rig();
  const runner = await rig.open();
  const flag = `${rig.folder}/well`;
  await runner.apply([spec("web", `test -e ${flag} && exec sleep 300; echo crash; exit 3`)]);
  await rig.reaches("web", "fatal");
  await rig.logs("crash\n".repeat(6), "web");
  await Deno.writeTextFile(flag, "");
  assert.equal((await runner.request("start", "web")).ok, true);
  await rig.reaches("web", "running");
});

Deno.test("A program or user that is not there is an answer, not a crash of the agent", async () => {
  await using rig = new Rig();
  const runner = await rig.open();
  await runner.apply([
    spec("none", "", { command: ["/no/such/program"] }),
    spec("who", "true", { user: "no-such-user" }),
  ]);
  assert.match((await rig.reaches("none", "fatal")).text!, /no such program/);
  assert.match((await rig.reaches("who", "fatal")).text!, /no user "no-such-user"/);
});

Deno.test("Another user's service runs as that user", async () => {
  await using rig = new Rig();
  const runner = await rig.open();
  await runner.apply([spec("who", "id -un; id -Gn; exec sleep 300", { user: "nobody" })]);
  await rig.reaches("who", "running");
  await rig.logs("nobody\nnogroup\n", "who");
});

Deno.test("A health check by command moves the state both ways", async () => {
  await using rig = new Rig();
  const runner = await rig.open();
  const flag = `${rig.folder}/well`;
  const pace = { intervalMs: 100, timeoutMs: 5000, unhealthy: 2, healthy: 1 };
  await runner.apply([
    spec("web", "sleep 300", { health: { kind: "exec", command: ["test", "-e", flag], ...pace } }),
  ]);
  assert.match((await rig.reaches("web", "unhealthy")).text!, /exited with 1/);
  await Deno.writeTextFile(flag, "");
  await rig.reaches("web", "running");
});

Deno.test("CTR-D004: the agent's next life finds its services again and doubles none", async () => {
  await using rig = new Rig();
  await (await rig.open()).apply([spec("web", "echo begun; sleep 300", { instances: 2 })]);
  const before = await rig.reaches("web", "running", 1);
  await rig.runner.close();
  await rig.open();
  const after = await rig.reaches("web", "running", 1);
  assert.deepEqual(
    { pid: after.pid, generation: after.generation, adopted: after.adopted },
    { pid: before.pid, generation: before.generation, adopted: true },
  );
  assert.ok(Math.abs(after.uptimeMs! - before.uptimeMs!) < 10_000);
  await rig.logs("begun\n", "web", 1);
  Deno.kill(after.pid!, "SIGKILL");
  const again = await rig.reaches("web", "backoff", 1);
  assert.equal(again.generation, before.generation);
  await rig.reaches("web", "running", 1);
});

Deno.test("CTR-D004: who follows an agent's next life is not told that there are no services before they are found", async () => {
  await using rig = new Rig();
  const supervision = () =>
    new Supervision({
      state: `${rig.folder}/state`,
      run: `${rig.folder}/run`,
      root: "",
      log: () => {},
    });
  const first = supervision();
  const fresh = Promise.withResolvers<ServiceNews>();
  using _fresh = first.follow((news) => fresh.resolve(news));
  assert.deepEqual(await fresh.promise, { whole: true, instances: [], gone: [] });
  const running = Promise.withResolvers<void>();
  using _running = first.follow(({ instances }) => {
    if (instances.some(({ state }) => state === "running")) running.resolve();
  });
  await first.apply([spec("web", "sleep 300")]);
  await running.promise;
  await first.close();

  const second = supervision();
  const told: ServiceNews[] = [];
  using _second = second.follow((news) => told.push(news));
  assert.ok(await second.hasRemains());
  await second.begin();
  assert.deepEqual(
    told[0].instances.map(({ service, index }) => ({ service, index })),
    [{ service: "web", index: 0 }],
  );
  await second.close();
  await rig.open();
  await rig.reaches("web", "running");
});

Deno.test("What was stopped by request stays stopped in the agent's next life", async () => {
  await using rig = new Rig();
  await (await rig.open()).apply([spec("web", "sleep 300"), spec("db", "sleep 300")]);
  await rig.runner.request("stop", "web");
  await rig.runner.close();
  await rig.open();
  await rig.reaches("db", "running");
  assert.equal(rig.view("web").state, "stopped");
});

Deno.test("kill -9 of the agent while it starts services: found again or started, never doubled", async () => {
  await using rig = new Rig();
  await Deno.mkdir(`${rig.folder}/state`, { recursive: true });
  const count = `${rig.folder}/count`;
  const specs = Array.from(
    { length: 6 },
    (_, i) => spec(`s${i}`, `echo ${i} >> ${count}; exec sleep 300`, { instances: 2 }),
  );
  await Deno.writeTextFile(`${rig.folder}/state/services.json`, JSON.stringify(specs));
  for (let life = 0; life < (Deno.env.get("FULL") === "1" ? 30 : 4); life++) {
    const agent = new Deno.Command(Deno.execPath(), {
      args: [
        ...[
          "run",
          "-A",
          "--quiet",
          new URL("../support/service_agent.ts", import.meta.url).pathname,
        ],
        ...[`${rig.folder}/state`, `${rig.folder}/run`],
      ],
      stdout: "piped",
      stderr: "inherit",
    }).spawn();
    // Killed at its very first words, which come while it spawns.
    const reader = agent.stdout.getReader();
    await reader.read();
    agent.kill("SIGKILL");
    await agent.status;
    await reader.cancel();
  }
  await rig.open();
  for (const { name } of specs) for (const i of [0, 1]) await rig.reaches(name, "running", i);
  const lines = (await Deno.readTextFile(count)).trim().split("\n").sort();
  assert.deepEqual(lines, specs.flatMap((_, i) => [`${i}`, `${i}`]));
});

Deno.test("Logs are rotated by copying, the oldest goes, and the tail reads across files", async () => {
  const folder = await Deno.makeTempDir();
  const path = `${folder}/web-0.log`;
  const limits = { maxBytes: 4096, keep: 3 };
  let line = 0;
  for (let round = 0; round < 5; round++) {
    for (let size = 0; size < 4096; size += 100, line++) {
      await Deno.writeTextFile(path, `${line}`.padEnd(99) + "\n", { append: true });
    }
    assert.equal(await rotateLog(path, limits), true);
  }
  assert.equal(await rotateLog(path, limits), false);
  await Deno.writeTextFile(path, "the last\n", { append: true });
  const names = [...Deno.readDirSync(folder)].map((entry) => entry.name).sort();
  assert.deepEqual(names, ["web-0.log", "web-0.log.1", "web-0.log.2"]);
  const tail = (await tailLog(path, 60)).split("\n");
  assert.equal(tail.length, 61);
  assert.equal(tail[59], "the last");
  assert.equal(tail[0].trim(), String(line - 59));
  await Deno.remove(folder, { recursive: true });
});
