/** A machine's whole life as its users drive it: separate processes, no terminal, JSON. */
import assert from "node:assert/strict";
import { machineToml } from "../support/machine.ts";
import { sandbox } from "../support/rum.ts";

Deno.test("a machine's life: up -d, exec, status, down, up, a failing script, destroy", async (t) => {
  await using box = await sandbox({ prefix: "rum-life-" });
  await box.config(
    await machineToml({
      name: "life",
      toml: `[provision.system]
script = "echo first > /root/system-ran; echo to stderr >&2"

[provision.boot]
script = "echo boot >> /root/boot-ran"
`,
    }),
  );

  await t.step("up -d returns when the machine is ready", async () => {
    const { json } = await box.ok(["up", "-d", "-o", "json", "-q"], { timeoutMs: 400_000 })
      .then((result) => ({ json: JSON.parse(result.stdout.trim().split("\n").at(-1)!) }));
    assert.equal(json.type, "up");
    assert.equal(json.did, "ready");
  });

  await t.step("exec: exact bytes, separate streams, the guest's exit code", async () => {
    const input = crypto.getRandomValues(new Uint8Array(64 * 1024));
    const result = await box.rum(["exec", "--", "sh", "-c", "cat; echo err >&2; exit 7"], {
      stdin: input,
    });
    assert.equal(result.code, 7);
    assert.deepEqual(result.bytes, input);
    assert.equal(result.stderr, "err\n");
  });

  await t.step("scripts of the first boot ran once, and their output is in the log", async () => {
    const ran = await box.ok(["exec", "cat /root/system-ran /root/boot-ran"]);
    assert.equal(ran.stdout, "first\nboot\n");
    const log = await box.ok(["log", "--source", "system"]);
    assert.match(log.stdout + log.stderr, /to stderr/);
  });

  await t.step("status says what is", async () => {
    const { json } = await box.ok(["status", "-o", "json"]);
    assert.equal(json.phase, "running");
    assert.equal(json.ready, true);
    assert.equal(json.agent.state, "up");
    assert.equal(json.hypervisor.state, "running");
  });

  await t.step("a second up changes nothing and says so by exit 0", async () => {
    await box.ok(["up", "-d"]);
  });

  await t.step("down, and status of a stopped machine is no failure", async () => {
    await box.ok(["down"]);
    const { json } = await box.ok(["status", "-o", "json"]);
    assert.equal(json.phase, "stopped");
    const refused = await box.rum(["exec", "true"]);
    assert.equal(refused.code, 255);
    assert.match(refused.stderr, /rum up -d/);
    await box.ok(["down"]);
  });

  await t.step(
    "a failing boot script: exit 10, its name and tail, the machine answers",
    async () => {
      const path = `${box.project}/rum.toml`;
      const good = await Deno.readTextFile(path);
      await Deno.writeTextFile(
        path,
        good.replace("echo boot >> /root/boot-ran", "echo before; false; exit 3"),
      );
      const failed = await box.rum(["up", "-d"], { timeoutMs: 400_000 });
      assert.equal(failed.code, 10, failed.stderr);
      assert.match(failed.stderr, /Script boot failed: exit code 3/);
      assert.match(failed.stderr, /before/);
      assert.equal((await box.ok(["exec", "echo", "alive"])).stdout, "alive\n");
      await Deno.writeTextFile(path, good);
      await box.ok(["provision", "--boot"]);
      assert.equal((await box.ok(["exec", "wc -l < /root/boot-ran"])).stdout.trim(), "2");
      assert.equal((await box.ok(["exec", "wc -l < /root/system-ran"])).stdout.trim(), "1");
    },
  );

  await t.step(
    "kill -9 of the daemon: the machine is untouched, the next command heals",
    async () => {
      const before = (await box.ok(["status", "-o", "json"])).json;
      Deno.kill(before.daemon.pid, "SIGKILL");
      const healed = await box.ok(["exec", "cat", "/proc/sys/kernel/random/boot_id"]);
      assert.match(healed.stderr, /background process was gone/);
      const after = (await box.ok(["status", "-o", "json"])).json;
      assert.notEqual(after.daemon.pid, before.daemon.pid);
      assert.equal(after.hypervisor.qemu_pid, before.hypervisor.qemu_pid);
    },
  );

  await t.step("destroy leaves nothing, and is success again", async () => {
    await box.ok(["destroy", "-y"]);
    const left = [...Deno.readDirSync(box.dataFolder)].map((e) => e.name).filter((n) =>
      !n.startsWith(".")
    );
    assert.deepEqual(left, []);
    await box.ok(["destroy", "-y"]);
    const { json } = await box.ok(["status", "-o", "json"]);
    assert.equal(json.phase, "absent");
  });
});
