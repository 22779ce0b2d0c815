/** The forwards of a machine as a whole: taken ports, live changes, restarts, ports that come and go. */
import assert from "node:assert/strict";
import * as net from "node:net";
import fc from "fast-check";
import { RumError } from "../../../src/base/errors.ts";
import type { PortConfig } from "../../../src/config/types.ts";
import { autoPortsStep, MAX_AUTO_PORTS } from "../../../src/guest/auto_ports.ts";
import type { SavedForward } from "../../../src/guest/forward_entry.ts";
import { Forwards, type ForwardsOptions } from "../../../src/guest/forwards.ts";
import { dialUdpInGuest } from "../../../src/guest/forward_udp.ts";
import type { ForwardEvent } from "../../../src/protocol/machine_events.ts";
import { agentBed } from "../../support/agent_in_process.ts";
import { TurnedClock } from "../../support/turned_clock.ts";

const port = (guest: number, host = 0, more: Partial<PortConfig> = {}): PortConfig => ({
  bind: "127.0.0.1",
  host,
  guest,
  proto: "tcp",
  onConflict: "fail",
  ...more,
});

interface World {
  readonly forwards: Forwards;
  readonly events: ForwardEvent[];
  readonly said: string[];
  saved: readonly SavedForward[];
  reachable: boolean;
}

function world(options: Partial<ForwardsOptions> = {}): World & AsyncDisposable {
  const events: ForwardEvent[] = [];
  const self = {
    events,
    saved: [] as readonly SavedForward[],
    reachable: true,
    get said() {
      return events.map((e) => `${e.state} ${e.guest}`);
    },
  };
  const forwards = new Forwards({
    dial: () => Promise.reject(new Error("nobody there")),
    dialUdp: () => Promise.reject(new Error("nobody there")),
    reachable: () => self.reachable,
    emit: (event) => events.push(event),
    changed: (rows) => void (self.saved = rows),
    ...options,
  });
  return Object.assign(self, {
    forwards,
    [Symbol.asyncDispose]: () => forwards[Symbol.asyncDispose](),
  });
}

/** A port of the host that somebody else has. */
async function squatter(at = 0): Promise<{ port: number } & AsyncDisposable> {
  const server = net.createServer();
  await new Promise<void>((done) => server.listen(at, "127.0.0.1", () => done()));
  return {
    port: (server.address() as net.AddressInfo).port,
    [Symbol.asyncDispose]: () => new Promise<void>((done) => server.close(() => done())),
  };
}

function ask(at: number, text = "hello"): Promise<string> {
  return new Promise((resolve) => {
    const socket = net.connect({ port: at, host: "127.0.0.1", allowHalfOpen: true });
    let got = "";
    socket.on("data", (bytes) => got += bytes);
    socket.on("end", () => resolve(got));
    socket.on("error", (error: Error & { code?: string }) => resolve(error.code ?? "error"));
    socket.end(text);
  });
}

Deno.test("forwards: a taken port stops the reservation, names its holder and leaves nothing bound", async () => {
  await using taken = await squatter();
  await using w = world({ holder: () => Promise.resolve("nginx (pid 7)") });
  await using free = await squatter();
  const first = free.port;
  await free[Symbol.asyncDispose]();
  await assert.rejects(
    w.forwards.reserve([port(80, first), port(81, taken.port)]),
    (error) =>
      error instanceof RumError && error.code === "port_in_use" &&
      error.message.includes(`127.0.0.1:${taken.port}`) &&
      /held by nginx \(pid 7\)/.test(error.message),
  );
  assert.deepEqual(w.forwards.list(), []);
  await using again = await squatter(first);
  assert.equal(again.port, first);
});

Deno.test('forwards: on_conflict = "next" takes the next free one, host = 0 any', async () => {
  await using taken = await squatter();
  await using w = world();
  await w.forwards.reserve([port(80, taken.port, { onConflict: "next" }), port(81)]);
  const rows = w.forwards.list();
  const next = rows.find((r) => r.guest === 80)!;
  assert.ok(next.host > taken.port && next.host < taken.port + 100);
  assert.ok(rows.find((r) => r.guest === 81)!.host > 0);
});

Deno.test("forwards: two wishes of one machine for one port are told apart before the kernel is asked", async () => {
  await using free = await squatter();
  await free[Symbol.asyncDispose]();
  await using w = world();
  await w.forwards.add({ bind: "127.0.0.1", host: free.port, guest: 80, proto: "tcp" });
  await assert.rejects(
    w.forwards.add({ bind: "127.0.0.1", host: free.port, guest: 81, proto: "tcp" }),
    { code: "port_in_use", message: /this machine forwards it to its port 80/ },
  );
  const same = await w.forwards.add({
    bind: "127.0.0.1",
    host: free.port,
    guest: 80,
    proto: "tcp",
  });
  assert.equal(same.host, free.port);
  assert.equal(w.forwards.list().length, 1);
});

Deno.test("forwards: before the agent is there a connection is reset, then the same port works", async () => {
  await using bed = await agentBed();
  const client = await bed.connect();
  const server = net.createServer({ allowHalfOpen: true }, (s) => s.pipe(s));
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", () => done()));
  const guest = (server.address() as net.AddressInfo).port;
  await using w = world({ dial: (p, signal) => client.dial(p, { signal }) });
  w.reachable = false;
  await w.forwards.reserve([port(guest)]);
  const [row] = w.forwards.list();
  assert.equal(row.state, "waiting");
  assert.equal(await ask(row.host), "ECONNRESET");
  w.reachable = true;
  assert.equal(w.forwards.list()[0].state, "listening");
  assert.equal(await ask(row.host), "hello");
  server.close();
});

Deno.test("forwards: live changes close what is gone, open what is new and leave the rest alone", async () => {
  await using w = world();
  await w.forwards.reserve([port(80), port(81)]);
  const before = w.forwards.list().find((r) => r.guest === 80)!.host;
  await w.forwards.add({ bind: "127.0.0.1", host: 0, guest: 90, proto: "tcp" });
  w.events.length = 0;
  assert.deepEqual(await w.forwards.apply([port(80), port(82)]), []);
  assert.deepEqual(w.said, ["closed 81", "listening 82"]);
  const rows = w.forwards.list();
  assert.equal(rows.find((r) => r.guest === 80)!.host, before);
  assert.deepEqual(
    rows.map((r) => [r.guest, r.origin]).sort(),
    [[80, "config"], [82, "config"], [90, "added"]],
  );
});

Deno.test("forwards: one that cannot be bound live is failed with its reason, and heals by restore", async () => {
  const taken = await squatter();
  await using w = world();
  const [error] = await w.forwards.apply([port(80, taken.port)]);
  assert.equal(error.code, "port_in_use");
  const [row] = w.forwards.list();
  assert.deepEqual([row.state, row.host], ["failed", taken.port]);
  assert.match(row.message!, /taken/);
  await taken[Symbol.asyncDispose]();
  await w.forwards.restore();
  assert.equal(w.forwards.list()[0].state, "listening");
  assert.deepEqual(w.said, ["failed 80", "listening 80"]);
});

Deno.test("forwards: a new daemon has the same ports, picked ones and added ones included", async () => {
  const before = world();
  await before.forwards.reserve([port(80), port(53, 0, { proto: "udp" })]);
  // Twice the same wish is two forwards.
  await before.forwards.add({ bind: "127.0.0.1", host: 0, guest: 90, proto: "tcp" });
  await before.forwards.add({ bind: "127.0.0.1", host: 0, guest: 90, proto: "tcp" });
  const rows = before.forwards.list();
  const { saved } = before;
  await before.forwards[Symbol.asyncDispose]();
  assert.deepEqual(before.forwards.list(), []);

  await using after = world();
  await after.forwards.takeUp(JSON.parse(JSON.stringify(saved)));
  assert.deepEqual(after.forwards.list(), rows);
  // The same rum.toml is no change.
  after.events.length = 0;
  await after.forwards.apply([port(80), port(53, 0, { proto: "udp" })]);
  assert.deepEqual(after.said, []);
});

Deno.test("forwards: removing one that is not there is forward_not_found; one that is closes its port", async () => {
  await using w = world();
  await assert.rejects(w.forwards.remove({ host: 1 }), { code: "forward_not_found" });
  await w.forwards.reserve([port(80)]);
  const { host } = w.forwards.list()[0];
  await w.forwards.remove({ host });
  await using again = await squatter(host);
  assert.equal(again.port, host);
  assert.deepEqual(w.saved, []);
});

Deno.test("forwards: TCP and UDP may share a number, and both reach the guest through one agent", async () => {
  await using bed = await agentBed();
  const client = await bed.connect();
  await using w = world({
    dial: (p, signal) => client.dial(p, { signal }),
    dialUdp: (p, signal) => dialUdpInGuest(client.mux, p, { signal }),
  });
  await w.forwards.reserve([port(80)]);
  const { host } = w.forwards.list()[0];
  await w.forwards.add({ bind: "127.0.0.1", host, guest: 80, proto: "udp" });
  assert.deepEqual(w.forwards.list().map((r) => [r.host, r.proto]), [[host, "tcp"], [host, "udp"]]);
  assert.equal((await w.forwards.remove({ host })).length, 2);
});

Deno.test("forwards: thousands of connections through the real agent leave no descriptor behind", async () => {
  const rounds = Deno.env.get("FULL") === "1" ? 10_000 : 400;
  await using bed = await agentBed();
  const client = await bed.connect();
  const server = net.createServer({ allowHalfOpen: true }, (s) => s.pipe(s));
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", () => done()));
  const guest = (server.address() as net.AddressInfo).port;
  await using w = world({ dial: (p, signal) => client.dial(p, { signal }) });
  await w.forwards.reserve([port(guest)]);
  const { host } = w.forwards.list()[0];
  // Of the whole process, in which another test file runs at the same time: a leak is one of each
  // connection, what else is open is a few.
  const descriptors = () => [...Deno.readDirSync("/proc/self/fd")].length;
  const most = rounds / 4;
  assert.equal(await ask(host), "hello");
  const before = descriptors();
  for (let n = 0; n < rounds; n++) assert.equal(await ask(host, `n ${n}`), `n ${n}`);
  const answers = await Promise.all(Array.from({ length: 200 }, (_, n) => ask(host, `c ${n}`)));
  assert.deepEqual(answers, Array.from({ length: 200 }, (_, n) => `c ${n}`));
  const end = performance.now() + 10_000;
  const leftOver = () => w.forwards.list()[0].active! > 0 || descriptors() > before + most;
  while (leftOver() && performance.now() < end) await new Promise((done) => setTimeout(done, 10));
  assert.equal(w.forwards.list()[0].active, 0);
  assert.ok(descriptors() <= before + most, `${before} descriptors became ${descriptors()}`);
  assert.equal(w.forwards.list()[0].total, rounds + 201);
  server.close();
});

Deno.test("forwards: a guest service that restarts costs its connections, not the forward", async () => {
  await using bed = await agentBed();
  const client = await bed.connect();
  const open = new Set<net.Socket>();
  const start = (at: number) =>
    new Promise<net.Server>((done) => {
      const server = net.createServer({ allowHalfOpen: true }, (s) => {
        open.add(s);
        s.on("error", () => {});
        s.pipe(s);
      });
      server.listen(at, "127.0.0.1", () => done(server));
    });
  const first = await start(0);
  const guest = (first.address() as net.AddressInfo).port;
  await using w = world({ dial: (p, signal) => client.dial(p, { signal }) });
  await w.forwards.reserve([port(guest)]);
  const { host } = w.forwards.list()[0];
  const held = net.connect({ port: host, host: "127.0.0.1" });
  held.on("error", () => {});
  const closed = new Promise<void>((done) => held.once("close", () => done()));
  held.write("x");
  await new Promise<void>((done) => held.once("data", () => done()));
  for (const socket of open) socket.resetAndDestroy();
  await new Promise<void>((done) => first.close(() => done()));
  await closed;
  assert.equal(await ask(host), "ECONNRESET");
  const second = await start(guest);
  assert.equal(await ask(host), "hello");
  second.close();
});

Deno.test("auto_ports: a listener gets a forward, keeps it over one missed look, then loses it", async () => {
  const clock = new TurnedClock();
  await using free = await squatter();
  const found = free.port;
  await free[Symbol.asyncDispose]();
  let listening: number[] = [];
  let looks = 0;
  await using w = world({
    clock,
    listeners: () => {
      looks++;
      return Promise.resolve(
        listening.map((p) => ({ port: p, address: "0.0.0.0", family: "IPv4" as const, uid: 0 })),
      );
    },
  });
  const look = async () => {
    const before = looks;
    while (looks === before) await clock.turn(1500);
    while (clock.sleeping === 0) await new Promise((done) => setTimeout(done, 1));
  };
  await w.forwards.auto({ from: 1024, to: 65535, bind: "127.0.0.1", ignore: [] });
  await look();
  listening = [found, 22];
  await look();
  assert.deepEqual(w.forwards.list().map((r) => [r.host, r.guest, r.origin]), [
    [found, found, "auto"],
  ]);
  assert.deepEqual(w.saved, []);
  listening = [];
  await look();
  assert.equal(w.forwards.list().length, 1);
  await look();
  assert.equal(w.forwards.list().length, 0);
  assert.deepEqual(w.said, [`listening ${found}`, `closed ${found}`]);
  assert.ok(w.events.every((e) => e.auto === true));
});

Deno.test("auto_ports: a port that the host uses stays the host's until it is free", async () => {
  const clock = new TurnedClock();
  const taken = await squatter();
  await using w = world({
    clock,
    listeners: () =>
      Promise.resolve([{ port: taken.port, address: "::", family: "IPv6" as const, uid: 0 }]),
  });
  await w.forwards.auto({ from: 1024, to: 65535, bind: "127.0.0.1", ignore: [] });
  await clock.turn(5000);
  assert.deepEqual(w.forwards.list(), []);
  await taken[Symbol.asyncDispose]();
  while (w.forwards.list().length === 0) await clock.turn(1500);
  assert.equal(w.forwards.list()[0].host, taken.port);
});

Deno.test("auto_ports: whatever a guest claims, only its range, unprivileged, ≤ 64, never a taken one", () => {
  fc.assert(fc.property(
    fc.array(fc.array(fc.integer({ min: 1, max: 65535 }), { maxLength: 120 }), { maxLength: 6 }),
    fc.integer({ min: 1, max: 65535 }),
    fc.integer({ min: 1, max: 65535 }),
    fc.array(fc.integer({ min: 1, max: 65535 }), { maxLength: 10 }),
    (looks, a, b, some) => {
      const config = { from: Math.min(a, b), to: Math.max(a, b), bind: "127.0.0.1", ignore: some };
      const taken = new Set(some.map((p) => p + 1));
      let memory: Parameters<typeof autoPortsStep>[0] = { forwarded: new Map() };
      const open = new Set<number>();
      for (const ports of looks) {
        const step = autoPortsStep(memory, ports.map((p) => ({ port: p })), config, taken);
        for (const p of step.close) assert.ok(open.delete(p));
        for (const p of step.open) {
          assert.ok(!open.has(p));
          open.add(p);
          assert.ok(p >= 1024 && p >= config.from && p <= config.to);
          assert.ok(!config.ignore.includes(p) && !taken.has(p));
        }
        assert.ok(open.size <= MAX_AUTO_PORTS);
        memory = step.next;
        assert.deepEqual([...memory.forwarded.keys()].sort(), [...open].sort());
      }
    },
  ));
});
