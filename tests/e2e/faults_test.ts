/**
 * Faults with a real QEMU: a sample of the matrix in tests/process/faults_test.ts. The daemon is killed
 * at a named point; then `status` has to tell the truth and the next command has to heal, with QEMU
 * being the one that lived through it. Two cases run on the shared machine and boot nothing; FULL=1
 * adds those that need boots of a machine of their own.
 */
import assert from "node:assert/strict";
import { alive, until } from "../support/fake_guest.ts";
import { machineToml, sharedMachine } from "../support/machine.ts";
import { type Sandbox, sandbox } from "../support/rum.ts";

const FULL = Deno.env.get("FULL") === "1";
const BOOT_MS = 900_000;

const kill = (point: string) => ({ RUM_TEST_FAULT: `${point}:kill` });
const up = (box: Sandbox, env: Record<string, string> = {}, ...more: string[]) =>
  box.rum(["up", "-d", ...more], { env, timeoutMs: BOOT_MS });

async function mustUp(box: Sandbox): Promise<void> {
  const { code, stdout, stderr } = await up(box);
  assert.equal(code, 0, `up -d has to heal\n${stdout}\n${stderr}`);
  const { json } = await box.ok(["status", "-o", "json"]);
  assert.equal(json.phase, "running", json.text);
  assert.equal(json.ready, true);
}

/** After a kill: `status` works and agrees with QEMU; the daemon that was to die has died. */
async function asFound(box: Sandbox, qemu: "lives" | "is gone"): Promise<number | undefined> {
  const { json } = await box.ok(["status", "-o", "json"]);
  assert.equal(json.as_recorded, true, "the fault killed the daemon");
  const pid: number | undefined = json.hypervisor?.qemu_pid ?? await qemuOf(box);
  assert.equal(pid !== undefined && await alive(pid), qemu === "lives", `QEMU ${qemu}`);
  if (qemu === "is gone") assert.notEqual(json.phase, "running");
  else assert.ok(!["stopped", "absent"].includes(json.phase), `status says ${json.text}`);
  return pid;
}

/** By its command line, for the moment before its pid is recorded. */
async function qemuOf(box: Sandbox): Promise<number | undefined> {
  for await (const { name } of Deno.readDir("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    const command = await Deno.readTextFile(`/proc/${name}/cmdline`).catch(() => "");
    if (/^[^\0]*qemu-system/.test(command) && command.includes(box.home)) return Number(name);
  }
  return undefined;
}

/** A daemon that knows of the fault and has passed its start. */
async function servedWith(box: Sandbox, env: Record<string, string>): Promise<void> {
  await box.ok(["daemon", "stop"]);
  await box.ok(["exec", "true"], { env });
  await until("the new daemon has taken the machine up", async () => {
    const { json } = await box.ok(["status", "-o", "json"]);
    return json.phase === "running" && json.ready === true;
  }, 120_000);
}

const bootsOf = async (box: Sandbox) => (await box.ok(["exec", "cat", "/root/boots"])).stdout;

Deno.test("real QEMU: a new daemon killed at the agent's hello; the next up finds all as it was", async () => {
  await using box = await sharedMachine();
  const boots = await bootsOf(box);
  await box.ok(["daemon", "stop"]);
  const faulted = await box.rum(["exec", "true"], { env: kill("greet.hello") });
  assert.notEqual(faulted.code, 0, "it asked a daemon that was killed");
  const qemu = await asFound(box, "lives");
  await mustUp(box);
  assert.equal(await asRunning(box), qemu, "the same QEMU");
  assert.equal(await bootsOf(box), boots, "the boot script did not run again");
});

Deno.test("real QEMU: the daemon killed when scripts had run, unrecorded; the next up heals", async () => {
  await using box = await sharedMachine();
  const boots = await bootsOf(box);
  await servedWith(box, kill("provision.ran@2"));
  const faulted = await box.rum(["provision", "--boot"]);
  assert.notEqual(faulted.code, 0, "its daemon was killed");
  const qemu = await asFound(box, "lives");
  await mustUp(box);
  assert.equal(await asRunning(box), qemu, "the same QEMU");
  const after = await bootsOf(box);
  assert.ok(after.startsWith(boots));
  assert.equal(after.length, boots.length + boots.split("\n")[0].length + 1, "it ran once more");
});

async function asRunning(box: Sandbox): Promise<number> {
  return (await box.ok(["status", "-o", "json"])).json.hypervisor.qemu_pid;
}

const OWN = `[provision.system]
script = "echo system >> /root/scripts"

[provision.boot]
script = "echo boot >> /root/scripts"
`;

async function scriptsOf(box: Sandbox): Promise<string[]> {
  return (await box.ok(["exec", "sort /root/scripts"])).stdout.trim().split("\n");
}

Deno.test({
  name: "real QEMU: killed in the first boot, in down and in --reset",
  ignore: !FULL,
  async fn(t) {
    await using box = await sandbox({ prefix: "rum-fault-" });
    await box.config(await machineToml({ name: "fault", toml: OWN }));

    await t.step("launch.started in the first boot: up goes on, the script runs once", async () => {
      assert.notEqual((await up(box, kill("launch.started"))).code, 0);
      const qemu = await asFound(box, "lives");
      await mustUp(box);
      assert.equal(await asRunning(box), qemu, "the same boot went on");
      assert.deepEqual(await scriptsOf(box), ["boot", "system"]);
    });

    await t.step("stop.pressed in down: down again is enough, and nothing is lost", async () => {
      await servedWith(box, kill("stop.pressed"));
      assert.notEqual((await box.rum(["exec", "touch /root/mine; sync"])).code, 255);
      const faulted = await box.rum(["down"]);
      assert.equal(faulted.code, 0, `down takes over from its dead daemon\n${faulted.stderr}`);
      assert.equal(await qemuOf(box), undefined, "it is off");
      assert.equal((await box.ok(["status", "-o", "json"])).json.phase, "stopped");
      await mustUp(box);
      assert.deepEqual(await scriptsOf(box), ["boot", "boot", "system"]);
      await box.ok(["exec", "test -e /root/mine"]);
    });

    await t.step("publish.disk in --reset: the next up boots the new disk, once", async () => {
      await box.ok(["down"]);
      await until("its daemon has ended", async () => {
        const { json } = await box.ok(["daemon", "status", "-o", "json"]);
        return json.state === "absent";
      });
      assert.notEqual((await up(box, kill("publish.disk"), "--reset", "-y")).code, 0);
      await asFound(box, "is gone");
      await mustUp(box);
      assert.deepEqual(await scriptsOf(box), ["boot", "system"], "a blank disk, provisioned");
      await box.ok(["exec", "test ! -e /root/mine"]);
    });

    await t.step("provision.ran in a first boot: nothing of it runs twice", async () => {
      await box.ok(["destroy", "-y"]);
      assert.notEqual((await up(box, kill("provision.ran"))).code, 0);
      const qemu = await asFound(box, "lives");
      await mustUp(box);
      assert.equal(await asRunning(box), qemu);
      assert.deepEqual(await scriptsOf(box), ["boot", "system"]);
    });

    await t.step("folder.bulk in destroy: destroy again leaves nothing", async () => {
      await servedWith(box, kill("folder.bulk"));
      await box.rum(["destroy", "-y"]);
      await box.ok(["destroy", "-y"]);
      assert.equal(await qemuOf(box), undefined);
      const left = [...Deno.readDirSync(box.dataFolder)].filter(({ name }) =>
        !name.startsWith(".")
      );
      assert.deepEqual(left, []);
    });
  },
});
