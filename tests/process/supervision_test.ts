/**
 * Supervision from outside: `rum` over the fake hypervisor with the real agent as the guest. Services
 * by their contracts, the event stream of a whole life, hooks, what a guest that rewrites rum.toml
 * gets (nothing), and a machine whose host went down.
 */
import assert from "node:assert/strict";
import { type MachineEvent, replay } from "../../src/protocol/machine_events.ts";
import { fakeWorld, kill, until } from "../support/fake_guest.ts";

const SERVICE = (name: string, more = "") =>
  `[services.${name}]
command = ["sh", "-c", "echo ${name} begins; exec sleep 3600"]
${more}
`;

async function eventsOf(world: { ok: (args: string[]) => Promise<{ stdout: string }> }) {
  const { stdout } = await world.ok(["events", "-o", "json"]);
  return stdout.trim().split("\n").map((line) => JSON.parse(line) as MachineEvent);
}

const states = (rows: { name: string; index: number; state: string }[]) =>
  rows.map(({ name, index, state }) => `${name}/${index} ${state}`);

Deno.test("INV-D004, INV-D005, INV-D006: what runs is what rum.toml says, through every rum up", async () => {
  await using world = await fakeWorld({ toml: SERVICE("web", "instances = 3") + SERVICE("db") });
  await world.ok(["up", "-d"]);
  const list = async () => states((await world.ok(["service", "ls", "-o", "json"])).json.services);
  assert.deepEqual(await list(), [
    "db/0 running",
    "web/0 running",
    "web/1 running",
    "web/2 running",
  ]);
  const status = await world.status();
  assert.equal(status.service_count, 2);
  assert.equal(status.running_instances, 4);

  const { seq } = (await eventsOf(world)).at(-1)!;
  await world.configure(SERVICE("web"));
  await world.ok(["up", "-d"]);
  assert.deepEqual(await list(), ["web/0 running"]);
  const gone = (await eventsOf(world)).flatMap((event) =>
    event.seq > seq && event.kind === "service" && event.state === "stopping"
      ? [`${event.service}/${event.index}`]
      : []
  );
  assert.deepEqual(gone.sort(), ["db/0", "web/1", "web/2"]);
  const { stdout } = await world.ok(["exec", "--", "sh", "-c", "pgrep -cf '[s]leep 3600' || :"]);
  assert.equal(stdout.trim(), "1");
});

Deno.test("CTR-D011, CTR-D012, CTR-D013: start, stop and restart, each refusal with its code", async () => {
  await using world = await fakeWorld({ toml: SERVICE("web") });
  await world.ok(["up", "-d"]);
  const code = async (...args: string[]) => {
    const { code, stderr } = await world.rum(["service", ...args, "-o", "json"]);
    return code === 0 ? "ok" : `${code} ${JSON.parse(stderr).code}`;
  };
  assert.equal(await code("start", "web"), "6 service_already_running");
  assert.equal(await code("restart", "web"), "ok");
  assert.equal(await code("reload", "web"), "ok");
  assert.equal(await code("stop", "web"), "ok");
  assert.equal(await code("stop", "web"), "5 service_not_running");
  assert.equal(await code("reload", "web"), "5 service_not_running");
  assert.equal(await code("restart", "web"), "ok");
  assert.equal(await code("stop", "all"), "ok");
  assert.equal(await code("start", "all"), "ok");
  assert.equal(await code("start", "nope"), "4 service_not_found");
  assert.equal(await code("status", "nope"), "4 service_not_found");
  const { stdout } = await world.ok(["service", "logs", "web", "-n", "1"]);
  assert.equal(stdout, "web/0 | web begins\n");
  await world.ok(["down"]);
  await world.settled();
  assert.equal(await code("ls"), "5 not_running");
});

Deno.test("service reload rolls: an instance goes only when the one before it runs again", async () => {
  await using world = await fakeWorld({ toml: SERVICE("web", "instances = 2") });
  await world.ok(["up", "-d"]);
  const { seq } = (await eventsOf(world)).at(-1)!;
  await world.ok(["service", "reload", "web"]);
  const told = () =>
    eventsOf(world).then((events) =>
      events.flatMap((e) =>
        e.seq > seq && e.kind === "service" ? [`${e.service}/${e.index} ${e.state}`] : []
      )
    );
  await until("the last one runs", async () => (await told()).at(-1) === "web/1 running");
  const lines = await told();
  const at = ["web/0 stopping", "web/0 running", "web/1 stopping", "web/1 running"]
    .map((line) => lines.indexOf(line));
  assert.ok(!at.includes(-1), lines.join(", "));
  assert.deepEqual(at, [...at].sort((a, b) => a - b), lines.join(", "));
});

Deno.test("CTR-D018: down gives services their time; one that ignores TERM is killed, and said", async () => {
  await using world = await fakeWorld({
    shutdownTimeout: "20s",
    toml: `[services.slow]
command = ["sh", "-c", "trap 'sleep 1; exit 0' TERM; while :; do sleep 0.1; done"]
[services.deaf]
command = ["sh", "-c", "trap '' TERM; while :; do sleep 0.1; done"]
shutdown = { timeout = "500ms" }
`,
  });
  await world.ok(["up", "-d"]);
  const { stdout } = await world.ok(["down", "-o", "json"]);
  const ends = stdout.trim().split("\n").map((line) => JSON.parse(line) as MachineEvent)
    .flatMap((e) =>
      e.kind === "service" && e.state === "stopped" ? [`${e.service}: ${e.text}`] : []
    )
    .sort();
  assert.equal(ends.length, 2);
  assert.match(ends[0], /^deaf: .*after KILL/);
  assert.doesNotMatch(ends[1], /KILL/);
  assert.deepEqual((await eventsOf(world)).filter((e) => e.kind === "warning"), []);
});

Deno.test("ready waits for services, unless told not to; what never comes up is named", async () => {
  const never = `[services.web]
command = ["false"]
restart = { policy = "on-failure", max = 1 }
`;
  await using world = await fakeWorld({ toml: `[ready]\ntimeout = "1500ms"\n${never}` });
  const { code, stderr } = await world.rum(["up", "-d"]);
  assert.equal(code, 124);
  assert.match(stderr, /service web \[0\]/);
  assert.equal((await world.status()).ready, false);
  assert.match((await world.status()).degraded.join("\n"), /service web \[0\]/);
  await world.ok(["down"]);
  await world.configure(`[ready]\nservices = false\n${never}`);
  await world.ok(["up", "-d"]);
});

Deno.test("a machine that became ready too late is ready for the next up", async () => {
  await using world = await fakeWorld();
  const mark = `${world.folder}/warm`;
  await world.configure(`[ready]\ntimeout = "1s"\nexec = ["test", "-e", "${mark}"]\n`);
  const late = await world.rum(["up", "-d"]);
  assert.equal(late.code, 124);
  assert.equal((await world.status()).ready, false);
  await Deno.writeTextFile(mark, "");
  await world.ok(["up", "-d"]);
  assert.equal((await world.status()).ready, true);
  assert.equal((await world.boots()).length, 1, "the machine was not touched");
});

Deno.test("The content of an env_file reaches the process, and no argv, record, log or event", async () => {
  const secret = "correct-horse-battery";
  await using world = await fakeWorld();
  await Deno.writeTextFile(`${world.box.project}/secrets.env`, `# ours\nSECRET=${secret}\n`);
  await world.configure(`[services.web]
command = ["sh", "-c", 'echo "it has \${#SECRET}"; exec sleep 3600']
env_file = "secrets.env"
`);
  await world.ok(["up", "-d"]);
  const tells = async (text: RegExp) =>
    text.test((await world.ok(["service", "logs", "web"])).stdout);
  await until("its content", () => tells(/it has 21/));
  const words = await world.ok(["exec", "--", "sh", "-c", "cat /proc/[0-9]*/cmdline"]);
  assert.ok(!words.stdout.includes(secret));
  for await (const text of filesBelow(world.paths.folder)) {
    assert.ok(!text.content.includes(secret), text.path);
  }
  // Another content under the same plan is a change.
  await Deno.writeTextFile(`${world.box.project}/secrets.env`, "SECRET=short\n");
  await world.ok(["up", "-d"]);
  await until("the new content", () => tells(/it has 5/));
  // A link that a guest puts in its place is not followed.
  await Deno.remove(`${world.box.project}/secrets.env`);
  await Deno.writeTextFile(`${world.box.home}/outside`, "SECRET=stolen\n");
  await Deno.symlink(`${world.box.home}/outside`, `${world.box.project}/secrets.env`);
  const { code, stderr } = await world.rum(["up", "-d"]);
  assert.equal(code, 3, stderr);
});

Deno.test("The events of one full life: gapless, and replaying them reproduces status", async () => {
  await using world = await fakeWorld({
    toml: `[provision.system]\nscript = "echo hello"\n${SERVICE("web", "instances = 2")}${
      SERVICE("db", 'after = ["web"]')
    }`,
  });
  const check = async () => {
    const events = await eventsOf(world);
    assert.deepEqual(events.map((e) => e.seq), events.map((_, i) => i + 1));
    const told = replay(events);
    const status = await world.status();
    assert.equal(told.phase, status.phase);
    assert.equal(told.text, status.text);
    assert.equal(told.ready, status.ready ?? false);
    assert.deepEqual(
      Object.entries(told.services).map(([key, state]) => `${key} ${state}`).sort(),
      states(status.services).sort(),
    );
    if (status.phase === "running") {
      assert.equal(told.agent, status.agent.state);
      assert.equal(told.owner, status.owner);
      assert.deepEqual(told.scripts, { system: "passed" });
    }
    return told.phase;
  };
  await world.ok(["up", "-d"]);
  assert.equal(await check(), "running");
  await world.ok(["service", "stop", "web"]);
  // What the agent tells of its services is written down a moment after it was told.
  const stopped = async () =>
    Object.values(replay(await eventsOf(world)).services).filter((state) => state === "stopped");
  await until("both are down in the log", async () => (await stopped()).length === 2);
  await check();
  await world.ok(["pause"]);
  assert.equal(await check(), "paused");
  await world.ok(["resume"]);
  await world.ok(["daemon", "restart"]);
  await until("the agent is back", async () => (await world.status()).agent?.state === "up");
  await until("ready again", async () =>
    (await world.status()).ready !== undefined &&
    (await world.status()).phase === "running");
  await world.ok(["restart"]);
  await check();
  await world.ok(["down"]);
  assert.equal(await check(), "stopped");
  await world.settled();
  assert.equal(await check(), "stopped");
});

Deno.test("A guest that rewrites rum.toml: nothing happens on the host in any verb, and the user is told", async () => {
  await using world = await fakeWorld({ toml: SERVICE("web") });
  await world.ok(["up", "-d"]);
  const touched = `${world.box.home}/touched`;
  const good = await Deno.readTextFile(`${world.box.project}/rum.toml`);
  await Deno.writeTextFile(
    `${world.box.project}/rum.toml`,
    good + `[on.paused]
exec = ["touch", "${touched}"]
[[ports]]
host = 0
guest = 80
bind = "0.0.0.0"
[[mounts]]
source = "/etc"
target = "/host-etc"
[tasks.screenshot]
every = "1s"
folder = "${world.box.home}/pictures"
`,
  );
  await until(
    "the daemon tells of it",
    async () =>
      (await eventsOf(world)).some((e) => e.kind === "warning" && e.code === "untrusted_config"),
  );
  const said = (await world.status()).degraded.join("\n");
  for (const key of ["on.paused.exec", "ports[0].bind", "mounts[0].source"]) {
    assert.ok(said.includes(key), said);
  }
  for (const verb of [["up", "-d"], ["restart"], ["provision"], ["up", "-d", "--reset", "-y"]]) {
    const { code, stderr } = await world.rum([...verb, "-o", "json"]);
    assert.equal(code, 3, verb.join(" "));
    assert.equal(JSON.parse(stderr.trim().split("\n").at(-1)!).code, "untrusted_config");
  }
  for (
    const verb of [["pause"], ["resume"], ["service", "restart", "web"], ["exec", "--", "true"]]
  ) {
    await world.ok(verb);
  }
  await world.ok(["daemon", "restart"]);
  await until("the agent is back", async () => (await world.status()).agent?.state === "up");
  await world.ok(["pause"]);
  await world.ok(["resume"]);
  const { forwards, mounts } = await world.status();
  assert.deepEqual({ forwards, mounts }, { forwards: [], mounts: [] });
  await world.ok(["down"]);
  for (const path of [touched, `${world.box.home}/pictures`]) {
    await assert.rejects(Deno.lstat(path), Deno.errors.NotFound);
  }
});

Deno.test("Hooks: told as JSON, in the project's folder; a hanging one is ended, a changed one does not run", async () => {
  await using world = await fakeWorld();
  const { project } = world.box;
  await Deno.writeTextFile(`${project}/hook.sh`, `#!/bin/sh\ncat > "$PWD/told-$RUM_EVENT"\n`, {
    mode: 0o755,
  });
  await world.configure(`[on.ready]
exec = ["./hook.sh"]
[on.paused]
exec = ["sh", "-c", "sleep 3600"]
timeout = "1s"
[on.resumed]
exec = ["false"]
[on.stopped]
exec = ["./hook.sh"]
`);
  await world.ok(["up", "-d"]);
  await until("the hook was told", () => exists(`${project}/told-ready`, 10));
  const told = JSON.parse(await Deno.readTextFile(`${project}/told-ready`));
  assert.equal(told.event, "ready");
  assert.equal(told.machine.id, world.id);
  assert.equal(told.cause.kind, "phase");
  await world.ok(["pause"]);
  await world.ok(["resume"]);
  const warned = async (text: RegExp) =>
    (await eventsOf(world)).some((e) => e.kind === "warning" && text.test(e.text));
  await until("the hanging hook was ended", () => warned(/on\.paused was ended after 1000 ms/));
  await until("the failing hook was told", () => warned(/on\.resumed failed: exit code 1/));
  assert.deepEqual((await world.processes()).filter((p) => /sleep 3600/.test(p.command)), []);
  // What a guest could do through a mount, without a word in rum.toml.
  await Deno.writeTextFile(`${project}/hook.sh`, `#!/bin/sh\ntouch "$PWD/pwned"\n`);
  await world.ok(["down"]);
  await world.settled();
  assert.ok(await warned(/on\.stopped did not run/));
  assert.equal(await exists(`${project}/pwned`), false);
});

for (const wanted of ["none", "restart"] as const) {
  Deno.test(`on_crash = "${wanted}": what becomes of a machine whose QEMU dies`, async () => {
    await using world = await fakeWorld({ toml: `[recovery]\non_crash = "${wanted}"\n` });
    await world.ok(["up", "-d"]);
    const { pid } = (await world.record())!;
    kill(pid!);
    const guestEvents = async () =>
      (await eventsOf(world)).flatMap((e) => e.kind === "guest" ? [e.what] : []);
    await until("it is noticed", async () => (await guestEvents()).includes("crashed"));
    if (wanted === "none") {
      await until("it has failed", async () => (await world.status()).phase === "failed");
      await world.settled();
      assert.equal((await world.boots()).length, 1);
      assert.ok(!(await guestEvents()).includes("restarting"));
      return;
    }
    await until("it is ready again", async () => {
      const { phase, ready } = await world.status();
      return phase === "running" && ready === true && (await world.boots()).length === 2;
    });
    assert.ok((await guestEvents()).includes("restarting"));
    assert.notEqual((await world.record())!.pid, pid);
  });
}

for (const wanted of ["report", "start"] as const) {
  Deno.test(`A machine whose host went down: ${wanted}`, async () => {
    await using world = await fakeWorld({
      toml: `[recovery]\nafter_host_restart = "${wanted}"\n`,
    });
    await world.ok(["up", "-d"]);
    kill((await world.holder())!);
    const { pid } = (await world.record())!;
    kill(pid!);
    await world.settled();
    // As it looks after a boot: the record is from another one.
    const state = JSON.parse(await Deno.readTextFile(world.paths.state));
    state.host_boot_id = "00000000-0000-4000-8000-000000000000";
    await Deno.writeTextFile(world.paths.state, JSON.stringify(state), { mode: 0o600 });

    const status = await world.status();
    assert.equal(status.phase, "stopped");
    assert.match(status.degraded.join("\n"), /was running when its host went down/);
    const [row] = (await world.ok(["list", "-o", "json"])).json.machines;
    assert.equal(row.phase, "stopped");
    assert.equal(row.lost_with_host, true);

    // What a unit at boot runs.
    const daemon = world.box.spawn(["up", "--serve", world.id]);
    const ended = daemon.output();
    if (wanted === "start") {
      await until("it runs again", async () => (await world.status()).ready === true);
      assert.equal((await world.boots()).length, 2);
      await world.ok(["daemon", "stop"]);
    } else {
      await until(
        "it is told",
        async () =>
          (await eventsOf(world)).some((e) =>
            e.kind === "warning" && /was running when its host went down/.test(e.text)
          ),
      );
      assert.equal((await world.boots()).length, 1);
      // It has nothing to do and may have ended by itself.
      const holder = await world.holder();
      if (holder !== undefined) kill(holder, "SIGTERM");
    }
    await ended;
  });
}

async function exists(path: string, atLeast = 0): Promise<boolean> {
  return await Deno.stat(path).then(({ size }) => size >= atLeast, () => false);
}

async function* filesBelow(folder: string): AsyncGenerator<{ path: string; content: string }> {
  for await (const { name, isFile, isDirectory } of Deno.readDir(folder)) {
    const path = `${folder}/${name}`;
    if (isDirectory) yield* filesBelow(path);
    else if (isFile) yield { path, content: await Deno.readTextFile(path).catch(() => "") };
  }
}

Deno.test("a service that is fatal ends the wait for ready by name; one that is mended is waited for again", async () => {
  const service = (command: string) =>
    `[services.flaky]\ncommand = ["sh", "-c", "${command}"]\n` +
    `restart = { policy = "on-failure", max = 1, backoff = "fixed", first = "100ms" }\n` +
    `[ready]\ntimeout = "10m"\n`;
  await using world = await fakeWorld({ toml: service("exit 3") });
  const up = await world.rum(["up", "-d"]);
  assert.equal(up.code, 124, up.stderr);
  assert.match(up.stdout + up.stderr, /flaky \[0\] is fatal .*rum service start flaky/);
  await world.configure(service("exec sleep 3600"));
  await world.ok(["up", "-d"]);
  assert.equal((await world.status()).ready, true);
});
