/** A machine's whole life as its users drive it: separate processes, no terminal, JSON. */
import assert from "node:assert/strict";
import { bootOver, machineToml } from "../support/machine.ts";
import { type Sandbox, sandbox } from "../support/rum.ts";

const DISKS = `[drives.one]
size = "300M"
[[fs.ext4]]
drive = "one"
target = "/data"
mode = "1777"

[drives.two]
size = "500M"
[[fs.xfs]]
drive = "two"
target = "/srv/x"
`;
const THIRD = `[drives.a]
size = "300M"
[[fs.btrfs]]
drive = "a"
target = "/b"

`;

/** MiB of `/` and of every file system on a drive, by where it is and what it is. */
async function capacities(box: Sandbox): Promise<Record<string, number>> {
  const { stdout } = await box.ok([
    "exec",
    "df --output=target,fstype,size -BM -t ext4 -t xfs -t btrfs",
  ]);
  return Object.fromEntries(
    stdout.trim().split("\n").slice(1).map((line) => {
      const [target, type, size] = line.split(/\s+/);
      return [`${target} ${type}`, Number(size.replace("M", ""))];
    }),
  );
}

Deno.test("a machine's life: up -d, exec, status, down, up, a failing script, destroy", async (t) => {
  await using box = await sandbox({ prefix: "rum-life-" });
  await box.config(
    await machineToml({
      name: "life",
      toml: `${DISKS}
[provision.system]
script = """
echo first > /root/system-ran
df --output=size -BM / | tail -1 > /root/system-room
echo to stderr >&2
cat /nonexistent
"""

[provision.boot]
script = "echo boot >> /root/boot-ran"
`,
    }),
  );
  const path = `${box.project}/rum.toml`;
  const edit = async (...[from, to]: [string, string]) => {
    const before = await Deno.readTextFile(path);
    assert.ok(before.includes(from), from);
    await Deno.writeTextFile(path, before.replace(from, to));
  };

  await t.step(
    "a first boot whose script fails: exit 10, its name and tail, the machine answers",
    async () => {
      const failed = await box.rum(["up", "-d"], { timeoutMs: 900_000 });
      assert.equal(failed.code, 10, failed.stderr);
      assert.match(failed.stderr, /Script system failed: exit code 1/);
      assert.match(failed.stderr, /cat: \/nonexistent/);
      assert.equal((await box.ok(["exec", "cat /root/system-ran"])).stdout, "first\n");
      assert.notEqual((await box.rum(["exec", "test -e /root/boot-ran"])).code, 0);
    },
  );

  await t.step(
    "mended, provision goes on where it ended, and up -d finds the machine ready",
    async () => {
      await edit("cat /nonexistent\n", "");
      await box.ok(["provision"]);
      const { json } = await box.ok(["up", "-d", "-o", "json", "-q"], { timeoutMs: 900_000 })
        .then((result) => ({ json: JSON.parse(result.stdout.trim().split("\n").at(-1)!) }));
      assert.equal(json.type, "up");
      assert.equal(json.did, "ready");
    },
  );

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
    const room = (await box.ok(["exec", "cat /root/system-room"])).stdout;
    assert.ok(parseInt(room) > 6000, `the first script had ${room.trim()} of 8 GiB`);
    assert.equal(ran.stdout, "first\nboot\n");
    const log = await box.ok(["log", "--source", "system"]);
    assert.match(log.stdout + log.stderr, /to stderr/);
  });

  await t.step(
    "the guest's console is in the log, and a line written to it now comes too",
    async () => {
      assert.match((await box.ok(["log", "--source", "boot"])).stdout, /cloud-init|login:/);
      // While the guest still boots, cloud-init's lines would push this one out of the last ones.
      await bootOver(box);
      await box.ok(["exec", "echo to the console > /dev/ttyS0"]);
      const end = performance.now() + 20_000;
      for (let seen = ""; !seen.includes("to the console");) {
        assert.ok(performance.now() < end, `not in the console's log: ${seen}`);
        seen = (await box.ok(["log", "--source", "boot", "-n", "200"])).stdout;
      }
    },
  );

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

  let sizes: Record<string, number> = {};
  await t.step("drives: found by serial, formatted when blank, mounted by UUID", async () => {
    sizes = await capacities(box);
    assert.deepEqual(Object.keys(sizes).sort(), ["/ ext4", "/data ext4", "/srv/x xfs"]);
    await box.ok(["exec", "echo kept | tee /data/f /srv/x/f"]);
    assert.equal((await box.ok(["exec", "stat -c %a /data"])).stdout, "1777\n");
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
      await edit("echo boot >> /root/boot-ran", "echo before; false; exit 3");
      // Everything grows, and a drive whose name sorts first comes in.
      await edit('disk = "8G"', 'disk = "9G"');
      await edit(DISKS, DISKS.replace("300M", "400M").replace("500M", "600M") + THIRD);
      const failed = await box.rum(["up", "-d"], { timeoutMs: 900_000 });
      assert.equal(failed.code, 10, failed.stderr);
      assert.match(failed.stderr, /Script boot failed: exit code 3/);
      assert.match(failed.stderr, /before/);
      assert.equal((await box.ok(["exec", "echo", "alive"])).stdout, "alive\n");
      await edit("echo before; false; exit 3", "echo boot >> /root/boot-ran");
      await box.ok(["provision", "--boot"]);
      assert.equal((await box.ok(["exec", "wc -l < /root/boot-ran"])).stdout.trim(), "2");
      assert.equal((await box.ok(["exec", "wc -l < /root/system-ran"])).stdout.trim(), "1");
    },
  );

  await t.step(
    "the disk, both drives and what is on them grew; none was taken for another",
    async () => {
      // The root file system is cloud-init's to grow, which may still be at it.
      const rootMiB = "$(df --output=size -BM / | tail -1 | tr -dc 0-9)";
      const grown = `exec:[ ${rootMiB} -gt ${sizes["/ ext4"] + 900} ]`;
      await box.ok(["wait", "--for", grown, "--timeout", "400s"], { timeoutMs: 410_000 });
      const now = await capacities(box);
      assert.deepEqual(Object.keys(now).sort(), ["/ ext4", "/b btrfs", "/data ext4", "/srv/x xfs"]);
      for (
        const [name, MiB] of Object.entries({ "/ ext4": 900, "/data ext4": 90, "/srv/x xfs": 90 })
      ) {
        assert.ok(now[name] > sizes[name] + MiB, `${name}: ${sizes[name]} MiB, now ${now[name]}`);
      }
      assert.equal((await box.ok(["exec", "cat /data/f /srv/x/f"])).stdout, "kept\nkept\n");
    },
  );

  await t.step(
    "in the second boot the network came before cloud-init, which ended well",
    async () => {
      const began = async (unit: string) => {
        const show = `systemctl show --value -p ExecMainStartTimestampMonotonic ${unit}`;
        return Number((await box.ok(["exec", show])).stdout);
      };
      const local = "cloud-init-local.service";
      const generated = await box.rum(["exec", `test -e /run/systemd/generator.early/${local}`]);
      const network = await began("systemd-networkd.service");
      assert.ok(network > 0);
      // Debian 13's cloud-init does not bear it (src/cloudinit/boot_script.ts).
      if (Deno.env.get("RUM_TEST_IMAGE") === undefined) {
        assert.equal(generated.code, 0);
        assert.ok(network < await began(local));
      }
      const { stdout } = await box.ok(["exec", "cloud-init status --wait --long"], {
        timeoutMs: 400_000,
      });
      assert.match(stdout, /status: done[^]*dsmode=net/);
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
