/**
 * "Every `up` re-plans" (SPEC section 5), where the last try failed: an edit of rum.toml counts for
 * the next one, whether the machine still has power or not, and what could not be taken over is said.
 */
import assert from "node:assert/strict";
import { type FakeWorld, fakeWorld } from "../support/fake_guest.ts";

const FAILS = '[provision.system]\nscript = "echo broken; exit 3"\n';
const PORT = "[[ports]]\nhost = 0\nguest = 80\n";
const PASSES = '[provision.system]\nscript = "echo mended >> /home/rum/scripts"\n' +
  '[provision.boot]\nscript = "echo boot >> /home/rum/scripts"\n';

async function scripts(world: FakeWorld): Promise<string> {
  return (await world.ok(["exec", "--", "cat", "/home/rum/scripts"])).stdout;
}

async function forwards(world: FakeWorld): Promise<{ state: string }[]> {
  const { json } = await world.ok(["port", "ls", "-o", "json"]);
  return json.forwards.filter(({ state }: { state: string }) => state === "listening");
}

async function changes(world: FakeWorld): Promise<{ applied: string[]; needs: string[] }[]> {
  const { stdout } = await world.ok(["events", "-o", "json"]);
  return stdout.trim().split("\n").map((line) => JSON.parse(line))
    .filter((event) => event.kind === "changes");
}

for (const off of [false, true]) {
  const how = off ? "off by now" : "still up";
  Deno.test(`a first boot whose script failed, machine ${how}: the mended script is what the next up runs`, async () => {
    await using world = await fakeWorld({ prefix: "rum-replan-", toml: FAILS });
    const failed = await world.rum(["up", "-d"]);
    assert.equal(failed.code, 10, failed.stderr);
    const disk = await world.disk();
    if (off) {
      await world.ok(["down"]);
      await world.settled();
    }
    await world.configure(PASSES + PORT);
    await world.ok(["up", "-d"]);
    assert.equal(await world.disk(), disk);
    assert.equal((await forwards(world)).length, 1, "the port that came with the edit");
    assert.equal(await scripts(world), "mended\nboot\n");
    // It passed, so it is the machine's own from here on: an edit is told, and does not run.
    await world.configure(PASSES.replace("mended", "another") + PORT);
    await world.ok(["up", "-d"]);
    assert.equal(await scripts(world), "mended\nboot\n");
    const keys = (lines: string[]) => lines.map((text) => text.split(":")[0]);
    assert.deepEqual(
      (await changes(world)).map(({ applied, needs }) => [keys(applied), keys(needs)]),
      [[["provision.system", "provision.boot", "ports"], []], [[], ["provision.system"]]],
    );
    await world.ok(["destroy", "-y"]);
  });
}

Deno.test("the boot script alone does not make a machine ready whose system script failed", async () => {
  const both = `${FAILS}[provision.boot]\nscript = "echo boot >> /home/rum/scripts"\n`;
  await using world = await fakeWorld({ prefix: "rum-replan-", toml: both });
  assert.equal((await world.rum(["up", "-d"])).code, 10);
  const refused = await world.rum(["provision", "--boot"]);
  assert.deepEqual([refused.code, /system script .* failed/.test(refused.stderr)], [10, true]);
  await world.configure(PASSES);
  await world.ok(["up", "-d"]);
  assert.equal(await scripts(world), "mended\nboot\n");
  await world.configure(PASSES.replace('"echo boot', '"exit 4; echo boot'));
  assert.equal((await world.rum(["provision", "--boot"])).code, 10);
  await world.configure(PASSES);
  await world.ok(["provision", "--boot"]);
  await world.ok(["destroy", "-y"]);
});

Deno.test("a start tells what it took over of an edited rum.toml, and what it could not", async () => {
  await using world = await fakeWorld({ prefix: "rum-replan-", toml: PASSES });
  await world.ok(["up", "-d"]);
  await world.ok(["down"]);
  await world.settled();
  await world.configure(`${PASSES.replace("mended", "other")}[drives.more]\nsize = "256M"\n`);
  const { stderr, stdout } = await world.ok(["up", "-d"]);
  const [told, ...rest] = await changes(world);
  assert.deepEqual(rest, []);
  assert.deepEqual(told.applied, ["drives.more: none → 256 MiB"]);
  assert.match(told.needs.join("\n"), /^provision\.system: .* needs `rum provision --system`$/);
  assert.match(stdout + stderr, /applied: drives\.more: none → 256 MiB/);
  await world.ok(["destroy", "-y"]);
});

Deno.test("provision on a running machine takes nothing over but scripts: a new port waits for up", async () => {
  await using world = await fakeWorld({ prefix: "rum-replan-", toml: PASSES });
  await world.ok(["up", "-d"]);
  await world.configure(PASSES + PORT);
  await world.ok(["provision", "--boot"]);
  assert.deepEqual(await forwards(world), []);
  await world.ok(["up", "-d"]);
  assert.equal((await forwards(world)).length, 1);
  await world.ok(["destroy", "-y"]);
});

Deno.test("status tells what rum.toml would change at once, and no more of it once it is applied", async () => {
  await using world = await fakeWorld({ prefix: "rum-replan-", toml: PASSES });
  await world.ok(["up", "-d"]);
  assert.deepEqual((await world.status()).degraded, []);
  const [from, to] = [freePort(), freePort()];
  const port = (host: number) => `[[ports]]\nhost = ${host}\nguest = 80\n`;
  await world.configure(PASSES.replace("mended", "other") + port(from));
  const script = /^provision\.system: .*, needs `rum provision --system`$/;
  const keys = async () => {
    const { degraded } = await world.status();
    return degraded.filter((line: string) => !script.test(line));
  };
  assert.deepEqual(await keys(), [`ports: none → ${from}:80, rum up applies it`]);
  await world.ok(["up", "-d"]);
  assert.deepEqual(await keys(), []);
  assert.match((await world.status()).degraded.join("\n"), script, "it still needs that");
  await world.configure(PASSES.replace("mended", "other") + port(to));
  const { stdout } = await world.ok(["up", "--dry-run"]);
  assert.match(stdout, new RegExp(`change: ports: ${from}:80 → ${to}:80, rum up applies it\n`));
  assert.doesNotMatch(stdout, /applied/);
  const up = await world.ok(["up", "-d"]);
  assert.match(
    up.stdout + up.stderr,
    new RegExp(`applied: ports: ${from}:80 → ${to}:80; not applied: provision\\.system: `),
  );
  await Deno.writeTextFile(`${world.box.project}/rum.toml`, "cpus = ");
  assert.match(
    (await world.status()).degraded.join("\n"),
    /rum\.toml has a mistake.*rum config check/,
  );
  await world.ok(["destroy", "-y"]);
});

function freePort(): number {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  return listener.addr.port;
}

Deno.test("networks of a plan before stand in the record until they are down, also when rum is killed between", async () => {
  await using world = await fakeWorld({ prefix: "rum-replan-" });
  await world.ok(["up", "-d"]);
  await world.ok(["down"]);
  await world.settled();
  const read = async () => JSON.parse(await Deno.readTextFile(world.paths.state));
  // The fake hypervisor has no networks: as a machine of an earlier rum that had one looks.
  const { networks: _, ...state } = await read();
  const uuid = "9c6f1f40-8a77-4f09-9f0b-1d1f5f6f0001";
  state.plan.networks = [{ hypervisorName: "rum-net", uuid, subnet: "10.5.6.0/24" }];
  await Deno.writeTextFile(world.paths.state, JSON.stringify(state), { mode: 0o600 });
  await world.rum(["up", "-d"], { env: { RUM_TEST_FAULT: "publish.recorded:kill" } });
  await world.settled();
  const between = await read();
  assert.deepEqual(between.plan.networks, []);
  assert.deepEqual(between.networks, [{ name: "rum-net", uuid }]);
  await world.ok(["up", "-d"]);
  assert.deepEqual((await read()).networks, []);
});
