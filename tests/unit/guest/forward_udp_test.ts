/** UDP forwards against the real agent: a real socket on either side, the mux between them. */
import assert from "node:assert/strict";
import * as dgram from "node:dgram";
import { dialUdpInGuest, openUdpForward } from "../../../src/guest/forward_udp.ts";
import { RumError } from "../../../src/base/errors.ts";
import { decodeDatagrams, encodeDatagram } from "../../../src/wire/datagrams.ts";
import { duplexPair } from "../../../src/wire/pipe.ts";
import { agentBed } from "../../support/agent_in_process.ts";
import { TurnedClock } from "../../support/turned_clock.ts";

class Peer implements AsyncDisposable {
  readonly #got: string[] = [];
  #wake?: () => void;

  constructor(readonly socket: dgram.Socket) {
    socket.on("message", (bytes) => {
      this.#got.push(bytes.toString("latin1"));
      this.#wake?.();
    });
  }

  static async bind(address = "127.0.0.1"): Promise<Peer> {
    const socket = dgram.createSocket(address.includes(":") ? "udp6" : "udp4");
    await new Promise<void>((done) => socket.bind(0, address, () => done()));
    return new Peer(socket);
  }

  get port(): number {
    return this.socket.address().port;
  }

  send(text: string, port: number, address = "127.0.0.1"): void {
    this.socket.send(text, port, address);
  }

  async next(): Promise<string> {
    while (this.#got.length === 0) await new Promise<void>((wake) => this.#wake = wake);
    return this.#got.shift()!;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await new Promise<void>((done) => this.socket.close(() => done()));
  }
}

async function echo(address?: string): Promise<Peer> {
  const peer = await Peer.bind(address);
  peer.socket.on("message", (bytes, from) => {
    peer.socket.send(`${from.port}:${bytes}`, from.port, from.address);
  });
  return peer;
}

Deno.test("udp: answers come back to the sender they belong to, each flow from one guest socket", async () => {
  await using bed = await agentBed();
  const client = await bed.connect();
  await using server = await echo();
  await using forward = await openUdpForward({
    bind: "127.0.0.1",
    port: 0,
    dial: (signal) => dialUdpInGuest(client.mux, server.port, { signal }),
  });
  await using a = await Peer.bind();
  await using b = await Peer.bind();
  a.send("one", forward.port);
  b.send("two", forward.port);
  const [fromA, one] = (await a.next()).split(":");
  const [fromB, two] = (await b.next()).split(":");
  assert.deepEqual([one, two], ["one", "two"]);
  assert.notEqual(fromA, fromB);
  a.send("again", forward.port);
  assert.equal(await a.next(), `${fromA}:again`);
  assert.deepEqual([forward.active, forward.total], [2, 2]);
});

Deno.test("udp: a guest server on IPv6 loopback alone is found, and ::1 can be bound on the host", async () => {
  await using bed = await agentBed();
  const client = await bed.connect();
  await using server = await echo("::1");
  await using forward = await openUdpForward({
    bind: "::1",
    port: 0,
    dial: (signal) => dialUdpInGuest(client.mux, server.port, { signal }),
  });
  await using peer = await Peer.bind("::1");
  peer.send("six", forward.port, "::1");
  assert.match(await peer.next(), /:six$/);
});

Deno.test("udp: a port nobody listens on answers nothing and the flow works once somebody does", async () => {
  await using bed = await agentBed();
  const client = await bed.connect();
  const free = await echo();
  const port = free.port;
  await free[Symbol.asyncDispose]();
  await using forward = await openUdpForward({
    bind: "127.0.0.1",
    port: 0,
    dial: (signal) => dialUdpInGuest(client.mux, port, { signal }),
  });
  await using peer = await Peer.bind();
  peer.send("lost", forward.port);
  while (forward.total === 0) await new Promise((done) => setTimeout(done, 2));
  const socket = dgram.createSocket("udp4");
  await new Promise<void>((done) => socket.bind(port, "127.0.0.1", () => done()));
  socket.on("message", (bytes, from) => socket.send(bytes, from.port, from.address));
  const again = setInterval(() => peer.send("heard", forward.port), 20);
  assert.match(await peer.next(), /lost|heard/);
  clearInterval(again);
  await new Promise<void>((done) => socket.close(() => done()));
});

Deno.test("udp: a flow that is silent for its time ends, and its stream with it", async () => {
  const clock = new TurnedClock();
  const [near, far] = duplexPair();
  const seen: string[] = [];
  const farEnd = (async () => {
    for await (const bytes of decodeDatagrams(far.readable)) {
      seen.push(new TextDecoder().decode(bytes));
    }
  })();
  farEnd.catch(() => {});
  await using forward = await openUdpForward({
    bind: "127.0.0.1",
    port: 0,
    clock,
    dial: () => Promise.resolve(near),
  });
  await using peer = await Peer.bind();
  peer.send("x", forward.port);
  const writer = far.writable.getWriter();
  writer.closed.catch(() => {});
  await writer.write(encodeDatagram(new TextEncoder().encode("back")));
  assert.equal(await peer.next(), "back");
  await clock.turn(59_000);
  assert.equal(forward.active, 1);
  await clock.turn(31_000);
  assert.equal(forward.active, 0);
  await assert.rejects(farEnd);
  assert.deepEqual(seen, ["x"]);
});

Deno.test("udp: past the limit the flow that was silent longest makes room", async () => {
  await using bed = await agentBed();
  const client = await bed.connect();
  await using server = await echo();
  await using forward = await openUdpForward({
    bind: "127.0.0.1",
    port: 0,
    maxFlows: 2,
    dial: (signal) => dialUdpInGuest(client.mux, server.port, { signal }),
  });
  for (const text of ["a", "b", "c", "d"]) {
    await using peer = await Peer.bind();
    peer.send(text, forward.port);
    assert.match(await peer.next(), new RegExp(`:${text}$`));
  }
  assert.deepEqual([forward.active, forward.total], [2, 4]);
});

Deno.test("udp: a taken port is port_in_use", async () => {
  await using holder = await Peer.bind();
  await assert.rejects(
    openUdpForward({
      bind: "127.0.0.1",
      port: holder.port,
      dial: () => Promise.reject(new Error("never")),
    }),
    (error) => error instanceof RumError && error.code === "port_in_use",
  );
});

Deno.test("datagrams: every size from none to the largest survives any cut of the stream", async () => {
  const sizes = [0, 1, 2, 255, 256, 1472, 65507, 65535, 0, 7];
  const sent = sizes.map((n, i) => new Uint8Array(n).fill(i + 1));
  const whole = new Uint8Array(sent.reduce((sum, each) => sum + each.length + 2, 0));
  let at = 0;
  for (const each of sent) {
    whole.set(encodeDatagram(each), at);
    at += each.length + 2;
  }
  for (const step of [1, 3, 1000, whole.length]) {
    const cuts = Array.from({ length: Math.ceil(whole.length / step) }, (_, i) => i * step);
    const chunks = ReadableStream.from(cuts.map((i) => whole.subarray(i, i + step)));
    const got: Uint8Array[] = [];
    for await (const each of decodeDatagrams(chunks)) got.push(each.slice());
    assert.deepEqual(got, sent);
  }
});
