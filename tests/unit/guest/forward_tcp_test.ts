/** Forward conformance without a guest: the far end is an in-memory stream with the same manners. */
import assert from "node:assert/strict";
import * as net from "node:net";
import { RumError } from "../../../src/base/errors.ts";
import { openTcpForward } from "../../../src/guest/forward_tcp.ts";
import { portHolder } from "../../../src/store/port_holder.ts";
import type { Duplex } from "../../../src/wire/duplex.ts";
import { duplexPair } from "../../../src/wire/pipe.ts";
import "../../support/libc_opened.ts";

interface Client {
  readonly socket: net.Socket;
  readonly received: () => Uint8Array;
  /** How it ended: in order, or with an error code. */
  readonly ended: Promise<string>;
}

function connect(port: number): Promise<Client> {
  return new Promise((resolve, reject) => {
    const socket = net.connect({ host: "127.0.0.1", port, allowHalfOpen: true });
    const chunks: Uint8Array[] = [];
    const { promise, resolve: end } = Promise.withResolvers<string>();
    socket.on("data", (chunk: Uint8Array) => chunks.push(chunk));
    socket.on("end", () => end("FIN"));
    socket.on("error", (error: Error & { code?: string }) => {
      end(error.code ?? error.message);
      reject(error);
    });
    socket.once("connect", () =>
      resolve({
        socket,
        received: () => new Uint8Array(chunks.flatMap((c) => [...c])),
        ended: promise,
      }));
  });
}

/** A guest that hands out far ends. */
function guest(): { dial: () => Promise<Duplex>; next: () => Promise<Duplex> } {
  const waiting: ((d: Duplex) => void)[] = [];
  const ready: Duplex[] = [];
  return {
    dial() {
      const [near, far] = duplexPair();
      const taker = waiting.shift();
      if (taker !== undefined) taker(far);
      else ready.push(far);
      return Promise.resolve(near);
    },
    next: () => {
      const far = ready.shift();
      return far !== undefined
        ? Promise.resolve(far)
        : new Promise((resolve) => waiting.push(resolve));
    },
  };
}

async function readAll(stream: ReadableStream<Uint8Array>): Promise<Uint8Array> {
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

const bytes = (n: number) => Uint8Array.from({ length: n }, (_, i) => (i * 31 + (i >> 8)) & 0xff);
const closed = (socket: net.Socket) =>
  socket.destroyed ? Promise.resolve() : new Promise<void>((r) => socket.once("close", () => r()));

Deno.test("forward: a half-close by the client reaches the guest, whose answer still arrives", async () => {
  const far = guest();
  await using forward = openTcpForward({ bind: "127.0.0.1", port: 0, dial: far.dial });
  const client = await connect(forward.port);
  const sent = bytes(300_000);
  client.socket.end(sent);
  const stream = await far.next();
  assert.deepEqual(await readAll(stream.readable), sent);
  const writer = stream.writable.getWriter();
  await writer.write(bytes(100_000));
  await writer.close();
  assert.equal(await client.ended, "FIN");
  assert.deepEqual(client.received(), bytes(100_000));
  await closed(client.socket);
});

Deno.test("forward: a half-close by the guest leaves the client writing", async () => {
  const far = guest();
  await using forward = openTcpForward({ bind: "127.0.0.1", port: 0, dial: far.dial });
  const client = await connect(forward.port);
  const stream = await far.next();
  await stream.writable.getWriter().close();
  assert.equal(await client.ended, "FIN");
  client.socket.end(bytes(5000));
  assert.deepEqual(await readAll(stream.readable), bytes(5000));
  await closed(client.socket);
});

Deno.test("forward: a reset in the guest is a reset at the client, not an end", async () => {
  const far = guest();
  await using forward = openTcpForward({ bind: "127.0.0.1", port: 0, dial: far.dial });
  const client = await connect(forward.port);
  (await far.next()).abort(new Error("reset by the guest"));
  assert.equal(await client.ended, "ECONNRESET");
});

Deno.test("forward: a reset by the client resets the guest's stream", async () => {
  const far = guest();
  await using forward = openTcpForward({ bind: "127.0.0.1", port: 0, dial: far.dial });
  const client = await connect(forward.port);
  const stream = await far.next();
  client.socket.resetAndDestroy();
  await assert.rejects(readAll(stream.readable));
});

Deno.test("forward: a guest that ended its half and then takes no more resets a silent client", async () => {
  const far = guest();
  await using forward = openTcpForward({ bind: "127.0.0.1", port: 0, dial: far.dial });
  const client = await connect(forward.port);
  const stream = await far.next();
  await stream.writable.getWriter().close();
  assert.equal(await client.ended, "FIN");
  const reset = new Promise<string>((resolve) =>
    client.socket.on("error", (error: Error & { code?: string }) => resolve(error.code ?? ""))
  );
  stream.abort(new Error("takes no more"));
  while (!client.socket.destroyed) {
    client.socket.write(new Uint8Array(1));
    await new Promise((done) => setTimeout(done, 5));
  }
  assert.match(await reset, /ECONNRESET|EPIPE/);
});

Deno.test("forward: a guest that refuses ends one connection; the next one works", async () => {
  const far = guest();
  let refuse = true;
  await using forward = openTcpForward({
    bind: "127.0.0.1",
    port: 0,
    dial: () => refuse ? Promise.reject(new Error("refused")) : far.dial(),
  });
  // So soon that a client may be told before it knows that it was connected.
  const first = await connect(forward.port).then((client) => client.ended, ({ code }) => code);
  assert.equal(first, "ECONNRESET");
  refuse = false;
  const second = await connect(forward.port);
  const stream = await far.next();
  await stream.writable.getWriter().close();
  assert.equal(await second.ended, "FIN");
  second.socket.end();
  await closed(second.socket);
});

Deno.test("forward: a client that does not read slows only its own stream", async () => {
  const far = guest();
  await using forward = openTcpForward({ bind: "127.0.0.1", port: 0, dial: far.dial });
  const slow = await connect(forward.port);
  slow.socket.pause();
  const slowStream = await far.next();
  const writer = slowStream.writable.getWriter();
  writer.closed.catch(() => {});
  let stuck = false;
  const flood = (async () => {
    for (let i = 0; i < 2000 && !stuck; i++) await writer.write(bytes(64 * 1024));
  })().catch(() => {});
  const quick = await connect(forward.port);
  const quickStream = await far.next();
  const quickWriter = quickStream.writable.getWriter();
  await quickWriter.write(bytes(1000));
  await quickWriter.close();
  assert.equal(await quick.ended, "FIN");
  assert.equal(quick.received().length, 1000);
  quick.socket.end();
  await closed(quick.socket);
  stuck = true;
  slow.socket.resetAndDestroy();
  await flood;
});

Deno.test("forward: a client that reads late gets all of an answer that ended", async () => {
  const far = guest();
  await using forward = openTcpForward({ bind: "127.0.0.1", port: 0, dial: far.dial });
  const client = await connect(forward.port);
  client.socket.pause();
  client.socket.end();
  const stream = await far.next();
  await readAll(stream.readable);
  const writer = stream.writable.getWriter();
  await writer.write(bytes(150_000));
  await writer.close();
  while (forward.active > 0) await new Promise((done) => setTimeout(done, 5));
  client.socket.resume();
  assert.equal(await client.ended, "FIN");
  assert.deepEqual(client.received(), bytes(150_000));
  await closed(client.socket);
});

/** A process with one forward, whose guest sends some bytes and no end. */
const FORWARDING = `
import { openTcpForward } from "${import.meta.resolve("../../../src/guest/forward_tcp.ts")}";
import { duplexPair } from "${import.meta.resolve("../../../src/wire/pipe.ts")}";
const forward = openTcpForward({ bind: "127.0.0.1", port: 0, dial() {
  const [near, far] = duplexPair();
  far.writable.getWriter().write(new Uint8Array(1000));
  return Promise.resolve(near);
} });
console.log(forward.port);
`;

Deno.test("forward: a process that is killed in mid-transfer resets, and does not end in order", async () => {
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--quiet", "--ext=ts", "-"],
    stdin: "piped",
    stdout: "piped",
  }).spawn();
  const stdin = child.stdin.getWriter();
  await stdin.write(new TextEncoder().encode(FORWARDING));
  await stdin.close();
  const reader = child.stdout.getReader();
  const { value } = await reader.read();
  const client = await connect(Number(new TextDecoder().decode(value)));
  while (client.received().length < 1000) await new Promise((done) => setTimeout(done, 5));
  child.kill("SIGKILL");
  assert.equal(await client.ended, "ECONNRESET");
  await child.status;
  await reader.cancel();
});

Deno.test("forward: many connections in turn and at once leave nothing open", async () => {
  const rounds = Deno.env.get("FULL") === "1" ? 10_000 : 500;
  const far = guest();
  await using forward = openTcpForward({ bind: "127.0.0.1", port: 0, dial: far.dial });
  const once = async () => {
    const client = await connect(forward.port);
    const stream = await far.next();
    client.socket.end(new Uint8Array([1]));
    // Whichever connection this stream belongs to, every one is echoed.
    await stream.readable.pipeTo(stream.writable);
    assert.equal(await client.ended, "FIN");
    await closed(client.socket);
  };
  for (let i = 0; i < rounds; i++) await once();
  await Promise.all(Array.from({ length: 200 }, once));
  assert.equal(forward.total, rounds + 200);
  const deadline = performance.now() + 5000;
  while (forward.active > 0 && performance.now() < deadline) {
    await new Promise((r) => setTimeout(r, 5));
  }
  assert.equal(forward.active, 0);
});

Deno.test("forward: a taken port is port_in_use, and its holder can be named", async () => {
  await using first = openTcpForward({ bind: "127.0.0.1", port: 0, dial: guest().dial });
  assert.throws(
    () => openTcpForward({ bind: "127.0.0.1", port: first.port, dial: guest().dial }),
    (error) => error instanceof RumError && error.code === "port_in_use",
  );
  const holder = await portHolder(first.port, "tcp");
  assert.equal(holder?.pid, Deno.pid);
});

Deno.test("forward: an address that this host has not is said in a sentence", () => {
  // Of the block that is kept for documentation: nobody has it.
  assert.throws(
    () => openTcpForward({ bind: "192.0.2.1", port: 0, dial: guest().dial }),
    { code: "invalid_params", message: /this host has no 192\.0\.2\.1/ },
  );
});

Deno.test("forward: IPv6 loopback is an address of its own", async () => {
  await using v6 = openTcpForward({ bind: "::1", port: 0, dial: guest().dial });
  await using v4 = openTcpForward({ bind: "127.0.0.1", port: v6.port, dial: guest().dial });
  assert.equal(v4.port, v6.port);
});
