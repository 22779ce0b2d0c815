/**
 * The image that rum builds, in a guest that QEMU emulates, without libvirt, daemon and agent:
 *
 * - the mux on a real virtio-serial port and over vsock: what no double shows (a port that is opened
 *   once, 4 KiB reads, hang-ups, the driver's own buffers)
 * - what anybody may expect of a cloud image: an ordinary NoCloud seed, OpenSSH, power-off
 */
import { Buffer } from "node:buffer";
import assert from "node:assert/strict";
import { withDeadline } from "../../src/base/deadline.ts";
import { virtioLink } from "../../src/guest/link_virtio.ts";
import type { Mux } from "../../src/wire/mux_types.ts";
import { testImageFile } from "../support/machine.ts";
import type { GuestFacts } from "../support/mux_guest.ts";
import { bootBareMachine } from "../support/bare_machine.ts";
import { until } from "../support/fake_guest.ts";
import { ask, order } from "../support/mux_measure.ts";

/** Single boots under emulation vary twofold, and the machine may be busy. */
const BOOT_MS = 600_000;

const CHECKS = `
cloud-init status --wait >/dev/null
echo failed=$(systemctl list-units --failed --no-legend | wc -l)
echo hostname=$(hostname)
echo keys=$(ls /etc/ssh/ssh_host_*_key | tr '\\n' ' ')
echo machine-id=$(wc -c < /etc/machine-id)
echo root-gib=$(df --output=size -BG / | tail -1 | tr -dc 0-9)
echo resolved=$(systemctl is-active systemd-resolved) $(readlink /etc/resolv.conf)
echo logind=$(systemctl is-active systemd-logind)
echo sudo=$(sudo id -u)
echo panic=$(lsmod | grep -c '^pvpanic')
echo apt=$(sudo apt-get check >/dev/null 2>&1 && echo ok)
`;

const NAME = "a bare guest of the built image: the link on a real port, vsock, ssh, power-off";

Deno.test(NAME, async (t) => {
  const folder = await Deno.makeTempDir({ prefix: "rum-mux-" });
  await using machine = await bootBareMachine(await testImageFile(), folder);
  let link = virtioLink(machine.socketPath);
  const next = () =>
    withDeadline(
      {
        waitingFor: "A session with the guest",
        timeoutMs: BOOT_MS,
        lastSeen: () => link.lastSeen(),
      },
      (signal) => link.next({ signal }),
    );
  let mux = await next();
  const facts = () => ask<GuestFacts>(mux, { op: "facts" });

  await t.step("bytes come back exactly, while one stream is stalled", async () => {
    const stalled = await mux.open(order({ op: "stall" }));
    const stuck = stalled.writable.getWriter();
    const writing = (async () => {
      for (;;) await stuck.write(new Uint8Array(64 * 1024));
    })().catch(() => {});
    await Promise.all(Array.from({ length: 4 }, () => echo(mux, 2_000_000)));
    stalled.abort(new Error("enough"));
    await writing;
  });

  await t.step("500 streams one after the other", async () => {
    for (let i = 0; i < 500; i++) await echo(mux, 100);
  });

  await t.step("the guest's program killed by kill -9 in the middle of its bytes", async () => {
    const before = await facts();
    const stream = await mux.open(order({ op: "source", bytes: 2 ** 30 }));
    const reading = (async () => {
      for await (const _ of stream.readable) {
        // Until the session ends.
      }
    })();
    await mux.open(order({ op: "die" }));
    await assert.rejects(reading, { code: "agent_restarted" });
    mux = await next();
    const after = await facts();
    assert.notEqual(after.pid, before.pid);
    await echo(mux, 300_000);
  });

  await t.step("this side gone in the middle of its bytes, and back", async () => {
    const before = await facts();
    const stream = await mux.open(order({ op: "sink" }));
    const writer = stream.writable.getWriter();
    const writing = (async () => {
      for (;;) await writer.write(new Uint8Array(64 * 1024));
    })().catch(() => {});
    await writer.ready;
    link.close();
    await writing;
    link = virtioLink(machine.socketPath);
    mux = await next();
    await echo(mux, 300_000);
    assert.equal((await facts()).pid, before.pid);
  });

  await t.step("without a host the guest's program rests", async () => {
    const usedWithout = async (ms: number) => {
      const before = await facts();
      link.close();
      await new Promise((done) => setTimeout(done, ms));
      link = virtioLink(machine.socketPath);
      mux = await next();
      return (await facts()).cpuMs - before.cpuMs;
    };
    // Connecting and asking alone; how dear that is depends on how slowly the guest is emulated.
    const meeting = await usedWithout(0);
    const used = await usedWithout(10_000) - meeting;
    // A busy loop would take about 10000.
    assert.ok(used < 3000, `${used} ms of CPU in 10 s without a host`);
  });

  await t.step("the same mux over vsock, from CID 1 only where that is allowed", async () => {
    const seen = await ask<{ count: number; refused: string[] }>(mux, {
      ...{ op: "vsock", bytes: 8 * 1024 * 1024 },
    });
    assert.equal(seen.count, 8 * 1024 * 1024);
    assert.deepEqual(seen.refused, ["vsock: refused a connection from CID 1, 0 are open"]);
  });

  await t.step("an ordinary NoCloud seed: user, key, name, disk, and no unit failed", async () => {
    // One answer may be followed by none: sshd can be started anew while cloud-init is still at it.
    let said: string | undefined;
    await until(
      "ssh answers",
      async () => (said = await machine.ssh(CHECKS)) !== undefined,
      BOOT_MS,
    );
    assert.ok(said !== undefined);
    const facts = Object.fromEntries(
      said.trim().split("\n").map((
        line,
      ) => [line.split("=")[0], line.slice(line.indexOf("=") + 1)]),
    );
    assert.equal(facts.failed, "0", said);
    assert.equal(facts.hostname, "lovelace");
    assert.equal(facts.keys.trim(), "/etc/ssh/ssh_host_ed25519_key");
    assert.equal(facts["machine-id"], "33");
    assert.ok(Number(facts["root-gib"]) >= 9, `the root file system did not grow: ${said}`);
    assert.match(facts.resolved, /^active .*stub-resolv\.conf$/);
    assert.equal(facts.logind, "active");
    assert.equal(facts.sudo, "0");
    assert.notEqual(facts.panic, "0");
    assert.equal(facts.apt, "ok");
  });

  await t.step("the guest powers itself off", async () => {
    link.close();
    const timer = setTimeout(() => Deno.kill(machine.qemuPid, "SIGKILL"), BOOT_MS);
    // Asked again when ssh did not get through, which cannot be told from a guest that obeyed.
    let off = false;
    machine.off.then(() => off = true);
    for (let again = 0; !off;) {
      if (performance.now() >= again) {
        await machine.ssh("sudo systemctl poweroff");
        again = performance.now() + 60_000;
      }
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    const { signal } = await machine.off;
    clearTimeout(timer);
    assert.equal(signal, null, "the guest did not power off by itself");
  });

  await Deno.remove(folder, { recursive: true });
});

async function echo(mux: Mux, size: number): Promise<void> {
  const bytes = new Uint8Array(size).map((_, i) => i * 31);
  const stream = await mux.open(order({ op: "echo" }));
  const writer = stream.writable.getWriter();
  const [back] = await Promise.all([
    new Response(stream.readable as BodyInit).bytes(),
    writer.write(bytes).then(() => writer.close()),
  ]);
  assert.ok(Buffer.from(back).equals(Buffer.from(bytes)), `${back.length} of ${size} bytes`);
}
