/**
 * Many commands at once on one machine: one machine, one daemon, records and hypervisor agree, and
 * nothing is orphaned. On the fake hypervisor, with real processes and the real agent.
 */
import assert from "node:assert/strict";
import { type FakeWorld, fakeWorld, until } from "../support/fake_guest.ts";
import { nothingLeft } from "../support/fault_matrix.ts";

const FULL = Deno.env.get("FULL") === "1";

Deno.test("twenty parallel up -d of one machine: one machine, one daemon, all exit 0", async () => {
  await using world = await fakeWorld({ prefix: "rum-twenty-" });
  const many = await Promise.all(
    Array.from({ length: 20 }, () => world.rum(["up", "-d"], { timeoutMs: 300_000 })),
  );
  assert.deepEqual(many.map((r) => r.code), Array(20).fill(0), many.map((r) => r.stderr).join(""));
  const story = await storyOf(world) + many.map((r) => r.stderr).join("");
  assert.equal((await world.boots()).length, 1, `it was started more than once\n${story}`);
  // Those that came second end by themselves, which nobody waits for.
  let serving: { pid: number }[] = [];
  await until("one process serves", async () => {
    serving = (await world.processes()).filter(({ command }) => / --serve /.test(command));
    return serving.length <= 1;
  });
  assert.equal(serving.length, 1);
  const status = await world.status();
  assert.equal(status.phase, "running");
  assert.equal(status.daemon.pid, serving[0].pid);
  await world.ok(["destroy", "-y"]);
  await nothingLeft(world);
});

/** What the machine's daemons and its events say. */
async function storyOf({ paths, folder }: FakeWorld): Promise<string> {
  const read = (path: string) => Deno.readTextFile(path).catch(() => "");
  return `boots: ${await read(`${folder}/boots`)}\n${await read(paths.daemonLog)}\n${
    (await read(paths.events)).slice(-30_000)
  }\n`;
}

/** mulberry32: a run that failed can be run again by its seed. */
function random(seed: number): () => number {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

const WORDS = [["up", "-d"], ["up", "-d"], ["down"], ["destroy", "-y"], ["status"]];
/** What a command may say when another one overtook it: interrupted, busy, not running any more. */
const OVERTAKEN = new Set([0, 5, 6, 7, 130]);

Deno.test("random interleavings of up, down, destroy, status: records and hypervisor agree", async () => {
  const rounds = FULL ? 200 : 12;
  // The same words each time, so that a red run speaks of the change; FULL=1 throws the dice.
  const seed = Number(Deno.env.get("RACE_SEED") ?? (FULL ? Date.now() % 1_000_000 : 20261127));
  const next = random(seed);
  await using world = await fakeWorld({ prefix: "rum-race-", shutdownTimeout: "3s" });
  for (let round = 0; round < rounds; round++) {
    const commands = Array.from(
      { length: 3 + Math.floor(next() * 3) },
      () => ({ args: WORDS[Math.floor(next() * WORDS.length)], afterMs: next() * 600 }),
    );
    const results = await Promise.all(commands.map(async ({ args, afterMs }) => {
      await new Promise((resolve) => setTimeout(resolve, afterMs));
      const { code, stderr } = await world.rum(args, { timeoutMs: 120_000 });
      return { args, code, stderr };
    }));
    const story = `seed ${seed}, round ${round}:\n` +
      results.map((r) => `$ rum ${r.args.join(" ")} → ${r.code}\n${r.stderr}`).join("") +
      await storyOf(world);
    for (const { args, code } of results) {
      assert.ok(args[0] === "up" ? OVERTAKEN.has(code) : code === 0, `${args} → ${code}\n${story}`);
    }
    await agree(world, story);
  }
  await world.ok(["destroy", "-y"]);
  await nothingLeft(world);
});

/** Once all commands are back: what is recorded, what the hypervisor says and what runs are one. */
async function agree(world: FakeWorld, told: string): Promise<void> {
  const { phase, text } = await world.status();
  const record = await world.record();
  const powered = await world.powered();
  const story = `${told}\nstatus: ${text}; powered: ${powered}; ` +
    `hypervisor: ${JSON.stringify(record)}`;
  switch (phase) {
    case "absent":
      assert.equal(record, undefined, `absent, and the hypervisor knows it\n${story}`);
      break;
    case "stopped":
      // The hypervisor was never told of a machine whose first up was stopped while it gathered.
      assert.ok(record !== undefined || text === "stopped (never_started)", story);
      assert.ok((record?.state ?? "off") === "off" && !powered, story);
      break;
    case "running":
      assert.ok(record?.state === "running" && powered, `running, and nothing runs\n${story}`);
      break;
    default:
      assert.fail(`phase ${phase} with no command under way\n${story}`);
  }
  const guests = async () =>
    (await world.processes()).filter(({ command }) => /^unshare /.test(command));
  // One that was forced off is dead when it is reaped, a moment later.
  await until(
    `as many guests as have power\n${story}`,
    async () => (await guests()).length === (powered ? 1 : 0),
    20_000,
  );
}

Deno.test("down during a long script works at once, and the up says that it was stopped", async () => {
  await using world = await fakeWorld({
    prefix: "rum-long-",
    toml: '[provision.boot]\nscript = "sleep 1200"\n',
  });
  const up = world.rum(["up", "-d"]);
  await until("the script runs", async () => {
    const { text } = await world.status();
    return text === "provisioning (scripts)";
  });
  const down = await world.ok(["down"]);
  assert.match(down.stdout, /off/);
  assert.ok(!await world.powered());
  const { code, stderr } = await up;
  assert.equal(code, 130, stderr);
  assert.match(stderr, /stopped while "up" was under way/);
  const { phase } = await world.status();
  assert.equal(phase, "stopped");
});

Deno.test("destroy wins over an up in its first boot, and over a down", async () => {
  await using world = await fakeWorld({
    prefix: "rum-wins-",
    toml: '[provision.system]\nscript = "sleep 1200"\n',
  });
  const up = world.rum(["up", "-d"]);
  await until(
    "the script runs",
    async () => (await world.status()).text === "provisioning (scripts)",
  );
  await world.behave({ ignoresShutdown: true });
  const down = world.rum(["down"]);
  await until("down waits for the guest", async () => (await world.status()).phase === "stopping");
  await world.ok(["destroy", "-y"]);
  assert.equal((await up).code, 130);
  assert.equal((await down).code, 0);
  await nothingLeft(world);
});

Deno.test("a machine that dies as soon as it is started, at whatever moment: up says so at once", async () => {
  await using world = await fakeWorld({ prefix: "rum-dies-" });
  for (const lives of ["0", "0.02", "0.1", "0", "0.3"]) {
    await world.behave({ boot: ["sh", "-c", `sleep ${lives}; exit 1`] });
    // Less than the ten minutes after which an agent that was waited for in vain is given up.
    const { code, stderr } = await world.rum(["up", "-d"], { timeoutMs: 120_000 });
    assert.equal(code, 9, `lived ${lives} s: ${stderr}`);
    assert.match(stderr, /The machine went off while it was booting/);
    assert.equal((await world.status()).text, "failed (start_failed, off)");
  }
  await world.behave({});
  await world.ok(["up", "-d"]);
});
