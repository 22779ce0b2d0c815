/** What happens inside a running machine, on the one that all files of a run share. */
import assert from "node:assert/strict";
import { until } from "../support/fake_guest.ts";
import { bootOver, sharedMachine } from "../support/machine.ts";

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
    await bootOver(box);
    // Those with a program: the kernel's own threads come and go as it likes.
    const processes = async () =>
      Number((await box.ok(["exec", "readlink /proc/[0-9]*/exe | wc -l"])).stdout);
    const before = await processes();
    const rounds = FULL ? 50 : 3;
    for (let round = 0; round < rounds; round++) {
      await Promise.all(
        Array.from({ length: 20 }, async (_, i) => {
          const result = await box.rum(["exec", "--", "sh", "-c", `echo ${round}-${i}; exit ${i}`]);
          assert.equal(result.code, i, result.stderr);
          assert.equal(result.stdout, `${round}-${i}\n`);
        }),
      );
    }
    await until(
      `no more than the ${before} processes of before`,
      async () => await processes() <= before + 3,
    );
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
    await box.ok(["wait", "--for", "exec:! pgrep -f 'sleep 424[2]'", "--timeout", "60s"]);
  });

  await t.step("the disk was grown to what rum.toml says", async () => {
    const { stdout } = await box.ok(["exec", "df --output=size -B1M / | tail -1"]);
    assert.ok(Number(stdout) > 7000, `the root file system has ${stdout.trim()} MiB`);
  });

  await t.step(
    "kill -9 of either side in mid-exec: an error that says so, the next command works",
    async () => {
      const agent = async () =>
        Number((await box.ok(["exec", "systemctl show -p MainPID --value rum-agent"])).stdout);
      const before = await agent();
      const { json } = await box.ok(["status", "-o", "json"]);
      const kills = {
        agent: () => box.rum(["exec", `kill -9 ${before}`]),
        daemon: () => Promise.resolve(Deno.kill(json.daemon.pid, "SIGKILL")),
      };
      for (const [side, kill] of Object.entries(kills)) {
        const child = box.spawn(["exec", "-o", "json", "--", "sleep", "4343"]);
        await box.ok(["wait", "--for", "exec:pgrep -f 'sleep 434[3]'", "--timeout", "120s"]);
        const at = performance.now();
        await kill();
        const { code, stderr } = await child.output();
        console.log(`${side} killed: exec ended after ${Math.round(performance.now() - at)} ms`);
        const error = JSON.parse(new TextDecoder().decode(stderr).trim().split("\n").at(-1)!);
        assert.equal(code, 255, error.message);
        assert.match(error.code, /^(agent_restarted|daemon_failed)$/);
        // An emulated guest may need longer to start a program again than a command waits for it.
        if (side === "agent") await box.ok(["wait", "--for", "agent", "--timeout", "120s"]);
        await box.ok(["exec", "true"]);
        // Of an exec whose client is gone nothing is left in the guest.
        await box.ok(["wait", "--for", "exec:! pgrep -f 'sleep 434[3]'", "--timeout", "120s"]);
      }
      assert.notEqual(await agent(), before);
    },
  );

  await t.step("a pause is over: the guest's clock is the host's again", async () => {
    // Set back instead of waited for: a pause of an hour, without the hour.
    await box.ok(["exec", "date -s '1 hour ago'"]);
    await box.ok(["pause"]);
    await box.ok(["resume"]);
    const offMs = Number((await box.ok(["exec", "date +%s000"])).stdout) - Date.now();
    assert.ok(Math.abs(offMs) < 30 * 60_000, `the guest's clock is off by ${offMs} ms`);
  });

  await t.step(
    "a script that prints many lines: each in the log, in order, memory flat",
    async () => {
      const lines = FULL ? 200_000 : 10_000;
      const path = `${box.project}/rum.toml`;
      const toml = await Deno.readTextFile(path);
      await Deno.writeTextFile(path, `${toml}\n[provision.system]\nscript = "seq 1 ${lines}"\n`);
      const { json } = await box.ok(["status", "-o", "json"]);
      const residentMiB = () => {
        const status = Deno.readTextFileSync(`/proc/${json.daemon.pid}/status`);
        return Math.round(Number(/VmRSS:\s+(\d+)/.exec(status)![1]) / 1024);
      };
      const before = residentMiB();
      await box.ok(["provision", "--system", "-q"], { timeoutMs: 600_000 });
      const after = residentMiB();
      const log = await box.ok(["log", "--source", "script:system", "-n", "0"]);
      const numbers = [...log.stdout.matchAll(/ \| (\d+)$/gm)].map((match) => match[1]);
      assert.deepEqual([numbers.length, numbers.findIndex((n, i) => Number(n) !== i + 1)], [
        lines,
        -1,
      ]);
      console.log(`${lines} lines: daemon ${before} MiB before, ${after} after`);
      assert.ok(after < before + 64, `the daemon grew from ${before} to ${after} MiB`);
      await Deno.writeTextFile(path, toml);
      await box.ok(["up", "-d"]);
    },
  );

  await t.step(
    "the guest reboots by itself: noticed, all is back, an edited Boot script runs once",
    async () => {
      const path = `${box.project}/rum.toml`;
      const toml = await Deno.readTextFile(path);
      await Deno.writeTextFile(path, toml.replace("echo this is", "echo edited: this is"));
      await box.ok(["up", "-d"]);
      assert.doesNotMatch((await box.ok(["exec", "cat /root/boots"])).stdout, /edited/);
      const boot = (await box.ok(["exec", "cat", "/proc/sys/kernel/random/boot_id"])).stdout;
      await box.rum(["exec", "--", "systemctl", "reboot"]);
      await box.ok([
        "wait",
        "--for",
        `exec:[ "$(cat /proc/sys/kernel/random/boot_id)" != "${boot.trim()}" ]`,
        "--timeout",
        "400s",
      ], { timeoutMs: 410_000 });
      await box.ok(["wait", "--for", "ready", "--timeout", "170s"]);
      const { json } = await box.ok(["status", "-o", "json"]);
      assert.equal(json.phase, "running");
      const events = await box.ok(["events", "-o", "json"]);
      assert.match(events.stdout, /"what":"rebooted"/);
      const now = (await box.ok(["exec", "cat", "/proc/sys/kernel/random/boot_id"])).stdout;
      const boots = (await box.ok(["exec", "cat /root/boots"])).stdout.split("\n");
      assert.deepEqual(boots.slice(-2), [`edited: this is boot ${now.trim()}`, ""]);
      assert.equal(boots.filter((line) => line.startsWith("edited")).length, 1);
    },
  );

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
      await box.ok(["wait", "--for", "agent", "--timeout", "400s"], { timeoutMs: 410_000 });
      await box.ok([
        "wait",
        "--for",
        `exec:[ $(wc -l < /root/boots) -gt ${before.length} ]`,
        "--timeout",
        "400s",
      ], { timeoutMs: 410_000 });
      const boots = (await box.ok(["exec", "cat", "/root/boots"])).stdout.trim().split("\n");
      const now = (await box.ok(["exec", "cat", "/proc/sys/kernel/random/boot_id"])).stdout.trim();
      assert.deepEqual(boots, [...before, `edited: this is boot ${now}`]);
      // The agent answers before the new daemon has fetched what was printed without it.
      await until(
        "the output is here",
        async () =>
          (await box.ok(["log", "--source", "script:boot"])).stdout.includes(`this is boot ${now}`),
      );
    },
  );
});
