/** What happens inside a running machine, on the one that all files of a run share. */
import assert from "node:assert/strict";
import { sharedMachine } from "../support/machine.ts";

const FULL = Deno.env.get("FULL") === "1";

Deno.test("in the guest: exec in numbers, users, terminals, files; reboots and a killed agent", async (t) => {
  await using box = await sharedMachine();

  await t.step("megabytes through cat come back the same, stderr apart, exit 7", async () => {
    const input = new Uint8Array((FULL ? 50 : 4) * 2 ** 20);
    for (let at = 0; at < input.length; at += 65536) {
      crypto.getRandomValues(input.subarray(at, at + 65536));
    }
    const result = await box.rum(["exec", "--", "sh", "-c", "cat; echo err >&2; exit 7"], {
      stdin: input,
      timeoutMs: 300_000,
    });
    assert.equal(result.code, 7);
    assert.equal(result.stderr, "err\n");
    assert.ok(result.bytes.length === input.length, `${result.bytes.length} bytes came back`);
    assert.ok(result.bytes.every((byte, i) => byte === input[i]));
  });

  await t.step("many at once, all right, nothing left behind", async () => {
    const processes = async () =>
      Number((await box.ok(["exec", "ls -d /proc/[0-9]* | wc -l"])).stdout);
    const before = await processes();
    const rounds = FULL ? 50 : 3;
    for (let round = 0; round < rounds; round++) {
      await Promise.all(
        Array.from({ length: 20 }, async (_, i) => {
          const result = await box.rum(["exec", "--", "sh", "-c", `echo ${round}-${i}; exit ${i}`]);
          assert.equal(result.code, i);
          assert.equal(result.stdout, `${round}-${i}\n`);
        }),
      );
    }
    const after = await processes();
    assert.ok(after <= before + 3, `${before} processes before, ${after} after`);
  });

  await t.step("argv is never joined or split", async () => {
    const words = ["a b", "", "$HOME", "'", '"', "\\", "*", "é\n"];
    const result = await box.ok(["exec", "--", "printf", "%s|", ...words]);
    assert.equal(result.stdout, words.map((w) => `${w}|`).join(""));
  });

  await t.step("another user, folder and environment; -t has a terminal", async () => {
    const user = await box.ok([
      "exec",
      "-u",
      "rum",
      "-w",
      "/tmp",
      "-e",
      "A=b c",
      "id -un; pwd; echo $A",
    ]);
    assert.equal(user.stdout, "rum\n/tmp\nb c\n");
    assert.match((await box.ok(["exec", "-t", "--", "tty"])).stdout, /^\/dev\/pts\/\d+/);
    assert.notEqual((await box.rum(["exec", "--", "tty"])).code, 0);
    assert.equal((await box.ok(["exec", "-u", "rum", "sudo -n id -u"])).stdout, "0\n");
  });

  await t.step("a time-out is 124 and the program is gone", async () => {
    const result = await box.rum(["exec", "--timeout", "1s", "--", "sleep", "4242"]);
    assert.equal(result.code, 124);
    assert.equal((await box.rum(["exec", "pgrep -f 'sleep 424[2]'"])).stdout, "");
  });

  await t.step("the disk was grown to what rum.toml says", async () => {
    const { stdout } = await box.ok(["exec", "df --output=size -B1M / | tail -1"]);
    assert.ok(Number(stdout) > 7000, `the root file system has ${stdout.trim()} MiB`);
  });

  await t.step("kill -9 of the agent: the next command works", async () => {
    const pid = (await box.ok(["exec", "systemctl show -p MainPID --value rum-agent"])).stdout
      .trim();
    await box.rum(["exec", `kill -9 ${pid}`]);
    const result = await box.ok(["exec", "systemctl show -p MainPID --value rum-agent"]);
    assert.notEqual(result.stdout.trim(), pid);
  });

  await t.step("the guest reboots by itself: noticed, and everything is back", async () => {
    const boot = (await box.ok(["exec", "cat", "/proc/sys/kernel/random/boot_id"])).stdout;
    await box.rum(["exec", "--", "systemctl", "reboot"]);
    await box.ok([
      "wait",
      "--for",
      `exec:[ "$(cat /proc/sys/kernel/random/boot_id)" != "${boot.trim()}" ]`,
      "--timeout",
      "200s",
    ], { timeoutMs: 210_000 });
    await box.ok(["wait", "--for", "ready", "--timeout", "60s"]);
    const { json } = await box.ok(["status", "-o", "json"]);
    assert.equal(json.phase, "running");
    const events = await box.ok(["events", "-o", "json"]);
    assert.match(events.stdout, /"what":"rebooted"/);
  });

  await t.step(
    "a reboot with no host process around: Boot ran once more, its output is here later",
    async () => {
      const before = (await box.ok(["exec", "cat", "/root/boots"])).stdout.trim().split("\n");
      const { json } = await box.ok(["status", "-o", "json"]);
      await box.ok(["exec", "--", "systemd-run", "--on-active=2", "systemctl", "reboot"]);
      Deno.kill(json.daemon.pid, "SIGKILL");
      // Nobody is there to be asked; the console's pty is read by nobody either. So the guest gets the
      // time that its slowest boot takes here, and is asked until it has rebooted.
      await new Promise((resolve) => setTimeout(resolve, 60_000));
      await box.ok(["wait", "--for", "agent", "--timeout", "120s"], { timeoutMs: 130_000 });
      await box.ok([
        "wait",
        "--for",
        `exec:[ $(wc -l < /root/boots) -gt ${before.length} ]`,
        "--timeout",
        "120s",
      ], { timeoutMs: 130_000 });
      const boots = (await box.ok(["exec", "cat", "/root/boots"])).stdout.trim().split("\n");
      const now = (await box.ok(["exec", "cat", "/proc/sys/kernel/random/boot_id"])).stdout.trim();
      assert.deepEqual(boots, [...before, `this is boot ${now}`]);
      const log = await box.ok(["log", "--source", "script:boot"]);
      assert.match(log.stdout, new RegExp(`this is boot ${now}`));
    },
  );
});
