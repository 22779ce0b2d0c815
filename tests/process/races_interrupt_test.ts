/**
 * The interrupt table of SPEC section 5 with real processes and real signals: what Ctrl+C, a dying
 * owner, a hang-up and an observer do in each phase, by exit code, words, disk and power. The pure
 * table is tests/unit/machine/interrupt_test.ts.
 */
import assert from "node:assert/strict";
import { type FakeWorld, fakeWorld, kill, until } from "../support/fake_guest.ts";
import { nothingLeft } from "../support/fault_matrix.ts";

const LONG_SYSTEM = '[provision.system]\nscript = "sleep 1200"\n';
const LONG_BOOT = '[provision.boot]\nscript = "sleep 1200"\n';

interface Running {
  readonly pid: number;
  signal(name: Deno.Signal): void;
  readonly ended: Promise<{ code: number; text: string; signal: string | null }>;
}

function start(
  world: FakeWorld,
  args: readonly string[],
  env: Record<string, string> = {},
): Running {
  const child = world.box.spawn(args, { env });
  const ended = child.output().then(({ code, signal, stdout, stderr }) => {
    const decoder = new TextDecoder();
    return { code, signal, text: decoder.decode(stdout) + decoder.decode(stderr) };
  });
  return { pid: child.pid, signal: (name) => child.kill(name), ended };
}

/** On a terminal: Ctrl+C is a byte there. */
function onTerminal(
  world: FakeWorld,
  args: readonly string[],
): Running & { type(keys: string): void } {
  const words = [Deno.execPath(), "run", "--quiet", "-A", MAIN, ...args];
  const child = new Deno.Command("script", {
    // exec: the shell between would answer Ctrl+C with an exit code of its own.
    args: ["-qec", `exec ${words.map((word) => `'${word}'`).join(" ")}`, "/dev/null"],
    cwd: world.box.project,
    env: { ...world.box.env, TERM: "xterm" },
    clearEnv: true,
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const writer = child.stdin.getWriter();
  const read = async (stream: ReadableStream<Uint8Array>) => await new Response(stream).text();
  const wall = setTimeout(() => child.kill("SIGKILL"), 120_000);
  child.status.finally(() => clearTimeout(wall));
  const ended = Promise.all([child.status, read(child.stdout), read(child.stderr)])
    .then(async ([{ code, signal }, out, err]) => {
      await writer.close().catch(() => {});
      return { code, signal, text: out + err };
    });
  return {
    pid: child.pid,
    signal: (name) => child.kill(name),
    type: (keys) => void writer.write(new TextEncoder().encode(keys)).catch(() => {}),
    ended,
  };
}

const MAIN = new URL("../../main.ts", import.meta.url).pathname;

const phase = (world: FakeWorld, wanted: RegExp) =>
  until(`the phase is ${wanted}`, async () => wanted.test((await world.status()).text));

/** A first boot behind it, off again, then a boot script that lasts. */
async function secondBoot(world: FakeWorld): Promise<string> {
  await world.ok(["up", "-d"]);
  await world.ok(["down"]);
  await world.configure(LONG_BOOT);
  return (await world.disk())!;
}

Deno.test("interrupt: preparing, first boot: what was made is removed, 130", async () => {
  await using world = await fakeWorld({ prefix: "rum-int-" });
  const up = start(world, ["up", "--attach"], { RUM_TEST_FAULT: "gather.disk:delay:8000" });
  await phase(world, /^preparing/);
  up.signal("SIGINT");
  const { code, text } = await up.ended;
  assert.equal(code, 130, text);
  assert.match(text, /removed/);
  await nothingLeft(world);
});

Deno.test("interrupt: preparing of a machine that has a disk: it keeps it, 130", async () => {
  await using world = await fakeWorld({ prefix: "rum-int-" });
  const disk = await secondBoot(world);
  await world.settled();
  const up = start(world, ["up", "--attach", "--reset", "-y"], {
    RUM_TEST_FAULT: "gather.disk:delay:8000",
  });
  await phase(world, /^preparing/);
  up.signal("SIGINT");
  const { code, text } = await up.ended;
  assert.equal(code, 130, text);
  assert.equal(await world.disk(), disk);
  assert.equal((await world.status()).phase, "stopped");
  await world.configure("");
  await world.ok(["up", "-d"]);
  assert.equal(await world.disk(), disk);
});

for (const args of [["up", "--attach"], ["up", "-d"]]) {
  Deno.test(`interrupt: provisioning, first boot under way, by ${args.join(" ")}: wiped and said so, 130`, async () => {
    await using world = await fakeWorld({ prefix: "rum-int-", toml: LONG_SYSTEM });
    const up = start(world, args);
    await phase(world, /^provisioning/);
    up.signal("SIGINT");
    const { code, text } = await up.ended;
    assert.equal(code, 130, text);
    assert.match(text, /Interrupted in the first boot: the half-made machine was removed/);
    await nothingLeft(world);
  });
}

Deno.test("interrupt: a wipe keeps every drive of before, also one that rum.toml names no more", async () => {
  await using world = await fakeWorld({
    prefix: "rum-int-",
    toml: '[drives.data]\nsize = "256M"\n[drives.kept]\nsize = "256M"\n',
  });
  const has = (name: string) => Deno.stat(world.paths.drive(name)).then(() => true, () => false);
  await world.ok(["up", "-d"]);
  await world.ok(["down"]);
  await world.configure(
    `${LONG_SYSTEM}[drives.kept]\nsize = "256M"\n[drives.fresh]\nsize = "256M"\n`,
  );
  await world.settled();
  const reset = start(world, ["up", "--attach", "--reset", "-y"]);
  await phase(world, /^provisioning/);
  assert.ok(await has("fresh"));
  reset.signal("SIGINT");
  const wiped = await reset.ended;
  assert.equal(wiped.code, 130, wiped.text);
  assert.match(wiped.text, /the drives of before are kept/);
  assert.deepEqual(
    await Promise.all(["data", "kept", "fresh"].map(has)),
    [true, true, false],
  );
  assert.equal(await world.disk(), undefined);
  await world.settled();

  const again = start(world, ["up", "--attach"], { RUM_TEST_FAULT: "gather.seed:delay:8000" });
  await phase(world, /^preparing/);
  again.signal("SIGINT");
  const cancelled = await again.ended;
  assert.equal(cancelled.code, 130, cancelled.text);
  assert.deepEqual(await Promise.all(["data", "kept", "fresh"].map(has)), [true, true, false]);
});

Deno.test("interrupt: provisioning, first boot under way, by TERM: as Ctrl+C", async () => {
  await using world = await fakeWorld({ prefix: "rum-int-", toml: LONG_SYSTEM });
  const up = start(world, ["up", "--attach"]);
  await phase(world, /^provisioning/);
  up.signal("SIGTERM");
  const { code, text } = await up.ended;
  assert.equal(code, 130, text);
  await nothingLeft(world);
});

Deno.test("interrupt: provisioning, a second boot: stopped, nothing deleted, 130", async () => {
  await using world = await fakeWorld({ prefix: "rum-int-" });
  const disk = await secondBoot(world);
  const up = start(world, ["up", "--attach"]);
  await phase(world, /^provisioning/);
  up.signal("SIGINT");
  const { code, text } = await up.ended;
  assert.equal(code, 130, text);
  assert.match(text, /off; nothing was deleted/);
  assert.equal(await world.disk(), disk);
  assert.ok(!await world.powered());
  assert.equal((await world.status()).phase, "stopped");
});

Deno.test("interrupt: a first boot whose script failed is never wiped", async () => {
  await using world = await fakeWorld({
    prefix: "rum-int-",
    toml: '[provision.system]\nscript = "exit 3"\n',
  });
  const { code, stderr } = await world.rum(["up", "-d"]);
  assert.equal(code, 10, stderr);
  const disk = await world.disk();
  await world.configure(LONG_SYSTEM);
  const again = start(world, ["up", "--attach"]);
  await phase(world, /^(starting|provisioning)/);
  again.signal("SIGINT");
  const ended = await again.ended;
  assert.equal(ended.code, 130, ended.text);
  assert.equal(await world.disk(), disk, "somebody may have looked into it by now");
  assert.equal((await world.status()).phase, "stopped");
});

Deno.test("interrupt: a first boot that outlived its daemon is never wiped", async () => {
  await using world = await fakeWorld({ prefix: "rum-int-", toml: LONG_SYSTEM });
  const first = start(world, ["up", "--attach"]);
  await phase(world, /^provisioning/);
  kill((await world.holder())!);
  assert.notEqual((await first.ended).code, 0);
  const disk = await world.disk();
  const second = start(world, ["up", "--attach"]);
  await until("somebody serves again", async () => (await world.status()).as_recorded === false);
  await phase(world, /^provisioning/);
  second.signal("SIGINT");
  await second.ended;
  assert.equal(await world.disk(), disk);
});

Deno.test("interrupt: running, the owner attached: shut down, 0, nothing deleted", async () => {
  await using world = await fakeWorld({ prefix: "rum-int-" });
  const up = start(world, ["up", "--attach"]);
  await phase(world, /^running \(attached, ready/);
  const disk = await world.disk();
  up.signal("SIGINT");
  const { code, text } = await up.ended;
  assert.equal(code, 0, text);
  assert.match(text, /off; nothing was deleted/);
  assert.equal(await world.disk(), disk);
  assert.ok(!await world.powered());
});

Deno.test("interrupt: stopping, the second one forces", async () => {
  await using world = await fakeWorld({ prefix: "rum-int-", shutdownTimeout: "10m" });
  const up = start(world, ["up", "--attach"]);
  await phase(world, /^running \(attached, ready/);
  await world.behave({ ignoresShutdown: true });
  up.signal("SIGINT");
  await phase(world, /^stopping/);
  up.signal("SIGINT");
  const { text } = await up.ended;
  assert.match(text, /powered off; nothing was deleted/);
  assert.ok(!await world.powered());
  assert.ok(await world.disk() !== undefined);
});

Deno.test("interrupt: stopping, by rum down: Ctrl+C says what goes on, a second one forces", async () => {
  await using world = await fakeWorld({ prefix: "rum-int-", shutdownTimeout: "10m" });
  await world.ok(["up", "-d"]);
  await world.behave({ ignoresShutdown: true });
  const down = start(world, ["down"]);
  await phase(world, /^stopping/);
  down.signal("SIGINT");
  await new Promise((resolve) => setTimeout(resolve, 300));
  await phase(world, /^stopping \(graceful/);
  down.signal("SIGINT");
  const { text } = await down.ended;
  assert.match(text, /the down goes on to its end. Again powers the machine off now/);
  assert.match(text, /powered off; nothing was deleted/);
  assert.ok(!await world.powered());
});

Deno.test("interrupt: stopping, by rum down: TERM leaves, and the machine goes off all the same", async () => {
  await using world = await fakeWorld({ prefix: "rum-int-", shutdownTimeout: "4s" });
  await world.ok(["up", "-d"]);
  await world.behave({ ignoresShutdown: true });
  const down = start(world, ["down"]);
  await phase(world, /^stopping/);
  down.signal("SIGTERM");
  const { code, text } = await down.ended;
  assert.equal(code, 130, text);
  assert.match(text, /the down goes on without this command/);
  await phase(world, /^off|^stopped/);
  assert.ok(!await world.powered());
});

/** A `rum down` that no daemon does for it, waiting for a guest that does not listen. */
async function loneDown(world: FakeWorld) {
  await world.ok(["up", "-d"]);
  await world.behave({ ignoresShutdown: true });
  kill((await world.holder())!);
  await world.settled();
  const down = start(world, ["down"]);
  await phase(world, /^stopping \(graceful/);
  return down;
}

for (const signal of ["SIGINT", "SIGTERM"] as const) {
  Deno.test(`interrupt: stopping, by rum down without a daemon: ${signal} says what goes on, a second one forces`, async () => {
    await using world = await fakeWorld({ prefix: "rum-int-", shutdownTimeout: "10m" });
    const down = await loneDown(world);
    down.signal(signal);
    await new Promise((resolve) => setTimeout(resolve, 300));
    assert.ok(await world.powered(), "the first one takes nothing back and forces nothing");
    down.signal(signal);
    const { code, text } = await down.ended;
    assert.equal(code, 0, text);
    assert.match(text, /the down goes on to its end. Again powers the machine off now/);
    assert.match(text, /powered off; nothing was deleted/);
    assert.ok(!await world.powered());
    assert.equal((await world.status()).phase, "stopped");
  });
}

Deno.test("interrupt: stopping, by rum down without a daemon: interrupted once, it says what came of it", async () => {
  await using world = await fakeWorld({ prefix: "rum-int-", shutdownTimeout: "3s" });
  const down = await loneDown(world);
  down.signal("SIGINT");
  const { code, text } = await down.ended;
  assert.equal(code, 0, text);
  assert.match(text, /did not go off in time and was powered off; nothing was deleted/);
  assert.ok(!await world.powered());
});

Deno.test("interrupt: running, detached: an observer's Ctrl+C leaves, and says how to stop it", async () => {
  await using world = await fakeWorld({ prefix: "rum-int-" });
  await world.ok(["up", "-d"]);
  const observer = onTerminal(world, ["up"]);
  await phase(world, /^running \(detached, ready\)/);
  // Its own look at the plan is the last thing before it watches.
  await until("it watches", async () => {
    const text = await Deno.readTextFile(world.paths.events);
    return (text.match(/"what":"up","state":"ended"/g) ?? []).length === 2;
  });
  const again = setInterval(() => observer.type("\x03"), 200);
  const { code, text } = await observer.ended;
  clearInterval(again);
  assert.equal(code, 0, text);
  assert.match(text, /runs on; rum down stops it/);
  assert.ok(await world.powered());
  assert.equal((await world.status()).phase, "running");
});

Deno.test("up ends with daemon stop: it says that the machine runs on", async () => {
  await using world = await fakeWorld({ prefix: "rum-int-" });
  const up = start(world, ["up", "--attach"]);
  await phase(world, /^running \(attached, ready/);
  await world.ok(["daemon", "stop"]);
  const { code, text } = await up.ended;
  assert.equal(code, 0, text);
  assert.match(text, /runs on; rum down stops it/);
  assert.doesNotMatch(text, /The machine is off/);
  assert.ok(await world.powered());
});

Deno.test("up ends with destroy by somebody else: it says that the disks are gone", async () => {
  await using world = await fakeWorld({ prefix: "rum-int-" });
  const up = start(world, ["up", "--attach"]);
  await phase(world, /^running \(attached, ready/);
  await world.ok(["destroy", "-y"]);
  const { code, text } = await up.ended;
  assert.equal(code, 0, text);
  assert.match(text, /The machine and its disks are gone/);
  assert.doesNotMatch(text, /nothing was deleted/);
});

Deno.test("up ends with a machine that died: its failure, and never exit 0", async () => {
  await using world = await fakeWorld({ prefix: "rum-int-" });
  const up = start(world, ["-o", "json", "up", "--attach"]);
  await phase(world, /^running \(attached, ready/);
  kill((await world.record())!.pid!);
  const { code, text } = await up.ended;
  assert.equal(code, 9, text);
  assert.match(text, /"type":"error".*"code":"start_failed"/);
  assert.doesNotMatch(text, /"did":"stopped"/);
});

for (const how of ["SIGKILL", "SIGHUP"] as const) {
  Deno.test(`an owner that dies by ${how} in the first boot: it goes on, detached`, async () => {
    await using world = await fakeWorld({
      prefix: "rum-int-",
      toml: '[provision.system]\nscript = "while [ ! -e /home/rum/go ]; do sleep 0.1; done"\n',
    });
    const up = start(world, ["up", "--attach"]);
    await phase(world, /^provisioning/);
    const disk = await world.disk();
    up.signal(how);
    await up.ended;
    const [, guest] = (await world.boots()).at(-1)!.split(" ");
    await until(
      "nobody owns it",
      async () => (await Deno.readTextFile(world.paths.events)).includes('"state":"detached"'),
    );
    await Deno.writeTextFile(`${world.folder}/disks/${guest}/home/rum/go`, "");
    await phase(world, /^running \(detached, ready/);
    assert.equal(await world.disk(), disk);
  });
}

Deno.test("--timeout of up stops and wipes nothing: 124, and the first boot goes on", async () => {
  await using world = await fakeWorld({
    prefix: "rum-int-",
    toml: '[provision.system]\nscript = "while [ ! -e /home/rum/go ]; do sleep 0.1; done"\n',
  });
  const { code, stderr } = await world.rum(["--timeout", "6s", "up", "-d"]);
  assert.equal(code, 124, stderr);
  assert.match(stderr, /left as it is/);
  // On a busy host it may not have had power by then.
  await until("the first boot goes on", async () => (await world.boots()).length === 1);
  const disk = await world.disk();
  assert.ok(await world.powered());
  const [, guest] = (await world.boots()).at(-1)!.split(" ");
  await Deno.writeTextFile(`${world.folder}/disks/${guest}/home/rum/go`, "");
  await world.ok(["up", "-d"]);
  assert.equal(await world.disk(), disk);
});
