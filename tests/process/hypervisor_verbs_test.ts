/**
 * qmp, keys, type, screenshot, stats and the periodic pictures through the daemon, on the fake
 * hypervisor: codes, files and refusals. What a real screen shows is for the end-to-end tests.
 */
import assert from "node:assert/strict";
import { pngSize } from "../../src/image/png.ts";
import { fakeWorld, until } from "../support/fake_guest.ts";

Deno.test("The hypervisor's verbs: answers, files and refusals, and exit 5 on a machine that is off", async () => {
  await using world = await fakeWorld();
  const refused = async (code: number, ...args: string[]) => {
    const result = await world.rum([...args, "--output", "json"]);
    assert.equal(result.code, code, `${args.join(" ")}: ${result.stderr}`);
    return JSON.parse(result.stderr).code;
  };
  assert.equal(await refused(5, "qmp", "query-status"), "not_running");
  await world.ok(["up", "-d"]);

  const { answer } = (await world.ok(["qmp", "query-status", "-o", "json"])).json;
  assert.deepEqual(answer, { status: "running", running: true });
  assert.equal(await refused(2, "qmp", "system_reset"), "unsafe_refused");
  assert.equal(await refused(2, "qmp", "query-status; system_reset"), "unsafe_refused");
  assert.equal(await refused(9, "qmp", "--unsafe", "system_reset"), "monitor_error");
  assert.equal(await refused(2, "qmp", "query-status", "[1]"), "usage");

  assert.equal((await world.ok(["keys", "ctrl+alt+f2", "ret", "-o", "json"])).json.pressed, 2);
  assert.equal(await refused(2, "keys", "hyper+x"), "invalid_params");
  assert.equal((await world.ok(["type", "Hi", "there", "--enter", "-o", "json"])).json.pressed, 9);
  assert.equal(await refused(2, "type", "naïve"), "invalid_params");

  const shot = (await world.ok(["screenshot", "--output", "json"])).json;
  assert.match(shot.path, /^\/.*\/project\/fake-\d{8}T\d{6}\.png$/);
  assert.ok(pngSize(await Deno.readFile(shot.path)));
  const { bytes } = await world.ok(["screenshot", "-o", "-"]);
  assert.deepEqual(bytes, await Deno.readFile(shot.path));
  const several = await Promise.all(
    Array.from({ length: 4 }, () => world.ok(["screenshot", "--output", "json"])),
  );
  const paths = new Set([shot.path, ...several.map(({ json }) => json.path)]);
  assert.equal(paths.size, 5, "a picture took another's place");
  for (const path of paths) assert.ok(pngSize(await Deno.readFile(path)));
  assert.equal(await refused(4, "screenshot", "--file", "/nonexist/x.png"), "no_such_file");
  const often = await world.rum(["screenshot", "--every", "0s"]);
  assert.equal(often.code, 2);
  assert.match(often.stderr, /--every "0s": wanted at least 100ms/);

  const stats = (await world.ok(["stats", "-o", "json"])).json;
  assert.equal(stats.type, "stats");
  assert.equal(typeof stats.memory.balloon, "number");
  assert.equal((await world.ok(["stats", "--history", "-o", "json"])).json.type, "stats_history");

  const series = world.box.spawn(["screenshot", "--every", "100ms", "--keep", "2", "-o", "s.png"]);
  const names = () =>
    [...Deno.readDirSync(world.box.project)].map((entry) => entry.name)
      .filter((name) => name.startsWith("s-")).sort();
  await until("the fourth picture", () => names().some((name) => name >= "s-00004.png"));
  series.kill("SIGINT");
  assert.equal((await series.output()).code, 0);
  assert.equal(names().length, 2);
});

Deno.test("[tasks.screenshot]: pictures while it runs, the last ones kept, and no link of a guest's followed", async () => {
  await using world = await fakeWorld({
    toml: `[tasks.screenshot]\nevery = "1s"\nkeep = 2\nfolder = "shots"\n`,
  });
  const shots = `${world.box.project}/shots`;
  await Deno.mkdir(shots);
  await Deno.writeTextFile(`${shots}/mine.png`, "not ours");
  const names = () => [...Deno.readDirSync(shots)].map((entry) => entry.name).sort();
  await world.ok(["up", "-d"]);
  const first = async () => {
    await until("a picture", () => names().length >= 2);
    return names()[0];
  };
  const oldest = await first();
  await until("the oldest goes", () => !names().includes(oldest));
  assert.ok(names().length <= 3);
  assert.ok(names().includes("mine.png"));

  const outside = `${world.box.home}/outside`;
  await Deno.mkdir(outside);
  await Deno.symlink(outside, `${shots}.link`);
  // In one breath: a picture that is due in between would make the folder anew.
  Deno.renameSync(shots, `${shots}.old`);
  Deno.renameSync(`${shots}.link`, shots);
  await until(
    "it is refused",
    async () => (await Deno.readTextFile(world.paths.daemonLog)).includes("a link leads elsewhere"),
  );
  assert.deepEqual([...Deno.readDirSync(outside)], []);
});

Deno.test("Many services × 2 start in order, and the next daemon finds them as they are", async () => {
  const many = Deno.env.get("FULL") === "1" ? 50 : 12;
  const toml = Array.from({ length: many }, (_, i) =>
    `[services.s${i}]
command = ["sh", "-c", "echo ${i} >> /home/order; exec sleep 3600"]
instances = 2
${i === 0 ? "" : `after = ["s${i - 1}"]`}
`).join("\n");
  await using world = await fakeWorld({ toml: `[ready]\ntimeout = "3m"\n${toml}` });
  await world.ok(["up", "-d"], { timeoutMs: 300_000 });
  const order = async () =>
    (await world.ok(["exec", "--", "cat", "/home/order"])).stdout.trim().split("\n").map(Number);
  assert.deepEqual(await order(), Array.from({ length: 2 * many }, (_, i) => Math.floor(i / 2)));
  const pids = async () =>
    (await world.ok(["service", "ls", "-o", "json"])).json.services
      .map(({ name, index, pid }: Record<string, unknown>) => `${name}/${index} ${pid}`);
  const before = await pids();
  await world.ok(["daemon", "restart"]);
  await until(
    "the agent is back",
    async () => (await world.status()).running_instances === 2 * many,
  );
  assert.deepEqual(await pids(), before);
  assert.equal((await order()).length, 2 * many);
});
