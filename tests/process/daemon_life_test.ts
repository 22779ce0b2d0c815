/**
 * Real daemon processes: started by whoever comes first, killed, stopped, replaced, impersonated.
 */
import assert from "node:assert/strict";
import { systemClock } from "../../src/base/clock.ts";
import { RumError } from "../../src/base/errors.ts";
import { askLine } from "../../src/daemon/ask_line.ts";
import { endHungDaemon } from "../../src/daemon/hung.ts";
import { ensureToken } from "../../src/daemon/token.ts";
import { probeDaemon } from "../../src/daemon/probe.ts";
import { describeHolder, tryFlock } from "../../src/store/flock.ts";
import { DaemonRig, daemonTest, netcat } from "../support/daemon_rig.ts";

const code = (name: string) => (error: unknown) => error instanceof RumError && error.code === name;

daemonTest("20 launchers at once: exactly one daemon, and all are connected to it", async () => {
  await using rig = new DaemonRig();
  const clients = await Promise.all(Array.from({ length: 20 }, () => rig.ensure()));
  const pids = new Set<number>();
  for (const client of clients) pids.add((await client.request("ping") as { pid: number }).pid);
  assert.equal(pids.size, 1);
  assert.deepEqual([...pids], [await rig.pid()]);
  const starts = (await Deno.readTextFile(rig.paths.daemonLog)).match(/Ready at/g);
  assert.equal(starts?.length, 1);
  await Promise.all(clients.map((client) => client.close()));
});

daemonTest(
  "CTR-D005 after kill -9 the next launcher heals, over the dead one's socket",
  async () => {
    await using rig = new DaemonRig();
    const first = await rig.ensure();
    const pid = await rig.pid();
    Deno.kill(pid, "SIGKILL");
    assert.ok(code("daemon_failed")(await first.ended));
    await first.close();
    await rig.ended();
    assert.ok((await rig.files()).includes("rum.sock"), "it left its socket");
    assert.deepEqual(await probeDaemon(rig.paths), { kind: "absent" });
    const second = await rig.ensure();
    assert.notEqual(await rig.pid(), pid);
    assert.deepEqual(await second.request("echo", { alive: true }), { alive: true });
    await second.close();
  },
);

daemonTest("a stopped daemon is hung: status says so, and down may end it, by KILL", async () => {
  await using rig = new DaemonRig();
  await (await rig.ensure()).close();
  const pid = await rig.pid();
  Deno.kill(pid, "SIGSTOP");
  const state = await probeDaemon(rig.paths, { timeoutMs: 500 });
  assert.equal(state.kind, "hung");
  assert.equal(state.kind === "hung" && state.holder?.pid, pid);
  await assert.rejects(rig.ensure(), code("daemon_hung"), "exec may not end it");
  // The caller's own time is kept, by those that could end it after 10 s as well.
  await assert.rejects(rig.ensure({ mayEndHung: true, timeoutMs: 1000 }), {
    code: "timeout",
    message: new RegExp(`longer than 1 s: process ${pid} holds it for "serving"`),
  });
  const notes: string[] = [];
  await endHungDaemon(rig.paths, { termMs: 300, note: (text) => notes.push(text) });
  assert.match(notes.join(), new RegExp(`${pid}`));
  assert.equal((await probeDaemon(rig.paths)).kind, "absent");
});

daemonTest(
  "a launcher that may end a hung daemon does so after 10 s and starts a new one",
  async () => {
    await using rig = new DaemonRig();
    await (await rig.ensure()).close();
    const pid = await rig.pid();
    Deno.kill(pid, "SIGSTOP");
    const client = await rig.ensure({ mayEndHung: true });
    assert.notEqual(await rig.pid(), pid);
    assert.match(rig.notes.join(), /does not answer/);
    await client.close();
  },
);

daemonTest("a reused pid is signalled by nobody", async () => {
  await using rig = new DaemonRig();
  const bystander = new Deno.Command("sleep", { args: ["60"] }).spawn();
  await Deno.mkdir(rig.paths.lock.replace(/\/[^/]*$/, ""), { recursive: true });
  const self = await describeHolder({ role: "daemon", operation: "serving" });
  // Somebody holds the lock, and its label names a pid that is another process now.
  await using _held = await tryFlock(rig.paths.lock, { ...self, pid: bystander.pid });
  await assert.rejects(endHungDaemon(rig.paths, { termMs: 100, killMs: 100 }), code("daemon_hung"));
  bystander.kill("SIGTERM");
  assert.equal((await bystander.status).signal, "SIGTERM", "it lived until we ended it ourselves");
});

daemonTest(
  "a lock that is let go while its holder is looked for was held by nobody hung",
  async () => {
    await using rig = new DaemonRig();
    await Deno.mkdir(rig.paths.lock.replace(/\/[^/]*$/, ""), { recursive: true });
    const self = await describeHolder({ role: "daemon", operation: "serving" });
    const held = (await tryFlock(rig.paths.lock, self))!;
    // What a holder does first when it lets go.
    await Deno.truncate(rig.paths.lock, 0);
    const clock = { ...systemClock, sleep: () => held.release() };
    await endHungDaemon(rig.paths, { termMs: 60_000, clock });
  },
);

for (
  const [what, place, name] of [
    ["a regular file", (path: string) => Deno.writeTextFile(path, "precious"), "state_invalid"],
    ["a symbolic link", (path: string) => Deno.symlink("/etc/passwd", path), "state_invalid"],
    ["a folder", (path: string) => Deno.mkdir(path), "state_invalid"],
  ] as const
) {
  daemonTest(`CTR-D005 ${what} at the socket's path is refused and not deleted`, async () => {
    await using rig = new DaemonRig();
    await Deno.mkdir(rig.paths.folder, { recursive: true, mode: 0o700 });
    await place(rig.paths.socket);
    const before = await Deno.lstat(rig.paths.socket);
    await assert.rejects(rig.ensure(), code(name));
    assert.equal((await Deno.lstat(rig.paths.socket)).ino, before.ino);
  });
}

daemonTest(
  "CTR-D005 a foreign listener at the socket's path is refused and not deleted",
  async () => {
    await using rig = new DaemonRig();
    await Deno.mkdir(rig.paths.folder, { recursive: true, mode: 0o700 });
    using listener = Deno.listen({ transport: "unix", path: rig.paths.socket });
    const silent = (async () => {
      const conns: Deno.Conn[] = [];
      try {
        for await (const conn of listener) conns.push(conn);
      } finally {
        conns.forEach((conn) => conn.close());
      }
    })();
    await assert.rejects(rig.ensure(), /another process listens there/);
    assert.ok((await Deno.lstat(rig.paths.socket)).isSocket);
    listener.close();
    await silent;
  },
);

daemonTest(
  "a foreign listener that closes every connection at once is refused by name",
  async () => {
    await using rig = new DaemonRig();
    await Deno.mkdir(rig.paths.folder, { recursive: true, mode: 0o700 });
    await ensureToken(rig.paths.daemonToken);
    using listener = Deno.listen({ transport: "unix", path: rig.paths.socket });
    const closing = (async () => {
      for await (const conn of listener) conn.close();
    })();
    await assert.rejects(rig.ensure(), /another process listens there/);
    listener.close();
    await closing;
  },
);

daemonTest(
  "CTR-D006 CTR-D014 folders are private, and the records are true once it is ready",
  async () => {
    await using rig = new DaemonRig();
    const client = await rig.ensure();
    const mode = async (path: string) => (await Deno.lstat(path)).mode! & 0o777;
    assert.equal(await mode(rig.paths.folder), Deno.uid() === 0 ? 0o711 : 0o700);
    for (
      const path of [rig.paths.socket, rig.paths.pid, rig.paths.daemonJson, rig.paths.daemonToken]
    ) {
      assert.equal(await mode(path), 0o600, path);
    }
    const record = JSON.parse(await Deno.readTextFile(rig.paths.daemonJson));
    const ping = await client.request("ping") as { pid: number; uptime_ms: number };
    const { pid } = ping;
    assert.equal(record.pid, pid);
    assert.ok(Number.isInteger(ping.uptime_ms), "as the published schema has it");
    assert.equal(record.socket, rig.paths.socket);
    assert.equal(await rig.pid(), pid);
    const before = Deno.lstatSync(rig.paths.folder);
    assert.equal(before.uid, Deno.uid());
    await client.close();
  },
);

for (
  const [how, end] of [
    ["TERM", async (rig: DaemonRig) => Deno.kill(await rig.pid(), "SIGTERM")],
    ["INT", async (rig: DaemonRig) => Deno.kill(await rig.pid(), "SIGINT")],
    ["release by line", (rig: DaemonRig) => askLine(rig.paths, "release", { timeoutMs: 5000 })],
    ["release by frame", async (rig: DaemonRig) => {
      const client = await rig.ensure();
      await client.request("release");
      await client.close();
    }],
    ["the machine's end", (rig: DaemonRig) => askLine(rig.paths, "shutdown", { timeoutMs: 5000 })],
  ] as const
) {
  daemonTest(
    `CTR-D007 CTR-D015 CTR-D017 CTR-D019 ${how} takes one path out: socket and pid gone`,
    async () => {
      await using rig = new DaemonRig();
      await (await rig.ensure()).close();
      await end(rig);
      await rig.ended();
      assert.deepEqual(await rig.files(), ["daemon.token", "logs"]);
      assert.match(
        await Deno.readTextFile(rig.paths.daemonLog),
        /Ended; the machine is left as it is/,
      );
    },
  );
}

daemonTest("a daemon whose socket was taken away ends and leaves the new one alone", async () => {
  await using rig = new DaemonRig();
  const env = { ...Deno.env.toObject(), TEST_SELF_CHECK_MS: "50" };
  await (await rig.ensure({ env })).close();
  await Deno.remove(rig.paths.socket);
  using foreign = Deno.listen({ transport: "unix", path: rig.paths.socket });
  await rig.ended();
  assert.ok((await Deno.lstat(rig.paths.socket)).isSocket);
  assert.match(await Deno.readTextFile(rig.paths.daemonLog), /not our socket any more/);
  void foreign;
});

daemonTest("a daemon whose folder was removed ends", async () => {
  await using rig = new DaemonRig();
  const env = { ...Deno.env.toObject(), TEST_SELF_CHECK_MS: "50" };
  await (await rig.ensure({ env })).close();
  await Deno.remove(rig.paths.folder, { recursive: true });
  await rig.ended();
});

daemonTest("a daemon that cannot start says why in its own words, with its hint", async () => {
  await using rig = new DaemonRig();
  const env = { ...Deno.env.toObject(), TEST_COMPOSE_FAILS: "1" };
  const error = await rig.ensure({ env }).then(() => undefined, (e) => e);
  assert.ok(code("hypervisor_unreachable")(error), String(error));
  assert.equal(error.hint, "rum doctor");
  assert.match(
    await Deno.readTextFile(rig.paths.daemonLog),
    /Cannot start: libvirt does not answer/,
  );
});

for (
  const [what, extra] of [
    ["", {}],
    [", also while it is still at it", { TEST_LAST_WORK_IS_LONG: "1" }],
  ] as const
) {
  daemonTest(
    `a daemon that ends the machine before it can be reached is followed by another${what}`,
    async () => {
      await using rig = new DaemonRig();
      const env = { ...Deno.env.toObject(), TEST_LAST_WORK: `${rig.data}/last-work`, ...extra };
      const client = await rig.ensure({ env });
      assert.equal((await client.request("ping") as { pid: number }).pid, await rig.pid());
      assert.ok(await Deno.stat(`${rig.data}/last-work`));
      await client.close();
    },
  );
}

daemonTest(
  "when no way to start works, one error names each cause, the log and the command",
  async () => {
    await using rig = new DaemonRig();
    const error: RumError = await rig.ensure({ command: ["/nonexistent/rum"] })
      .then(() => assert.fail("it started"), (e) => e);
    assert.equal(error.code, "daemon_failed");
    assert.match(error.message, /; then: .*systemd-run/);
    assert.ok(error.message.includes(rig.paths.daemonLog));
    assert.equal(error.hint, `rum up --serve ${rig.id}`);
  },
);

daemonTest("HUP reopens the log under its name", async () => {
  await using rig = new DaemonRig();
  await (await rig.ensure()).close();
  await Deno.rename(rig.paths.daemonLog, `${rig.paths.daemonLog}.moved`);
  Deno.kill(await rig.pid(), "SIGHUP");
  for (;;) {
    const text = await Deno.readTextFile(rig.paths.daemonLog).catch(() => "");
    if (text.includes("Log reopened")) break;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
});

daemonTest("another user's process is refused before a byte is read", async () => {
  if (Deno.uid() !== 0) return;
  await using rig = new DaemonRig();
  await (await rig.ensure()).close();
  // Opened up on purpose: only the kernel's word about the peer is left.
  await Deno.chmod(rig.data, 0o755);
  await Deno.chmod(`${rig.data}/rum`, 0o755);
  await Deno.chmod(rig.paths.socket, 0o666);
  const { stdout } = await new Deno.Command("setpriv", {
    args: [
      "--reuid",
      "65534",
      "--clear-groups",
      "sh",
      "-c",
      `printf 'ping\\n' | nc -w 5 -U ${rig.paths.socket}`,
    ],
  }).output();
  assert.equal(new TextDecoder().decode(stdout), "");
  assert.match(await netcat(rig.paths.socket, "ping\n"), /^ok /);
  assert.match(
    await Deno.readTextFile(rig.paths.daemonLog),
    /Refused a connection: it is of uid 65534/,
  );
});

daemonTest(
  "a daemon that finds the lock held leaves the machine's folder to its holder",
  async () => {
    await using rig = new DaemonRig();
    await Deno.mkdir(rig.paths.lock.replace(/\/[^/]*$/, ""), { recursive: true });
    const self = await describeHolder({ role: "one-shot", operation: "destroy" });
    await using _held = await tryFlock(rig.paths.lock, self);
    const [program, ...args] = rig.command();
    const { stdout } = await new Deno.Command(program, { args }).output();
    assert.match(new TextDecoder().decode(stdout), /"already":\{"pid":/);
    await assert.rejects(Deno.lstat(rig.paths.folder), Deno.errors.NotFound);
  },
);
