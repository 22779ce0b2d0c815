import assert from "node:assert/strict";
import * as net from "node:net";
import { resetConnection } from "../../../ffi/tcp_sockets.ts";
import { connectAgent } from "../../../src/guest/agent_client.ts";
import { agentBed } from "../../support/agent_in_process.ts";

/** A server in "the guest" that hands each connection to `serve`. */
async function server(serve: (socket: net.Socket) => void, host = "127.0.0.1") {
  const listener = net.createServer({ allowHalfOpen: true }, serve);
  await new Promise<void>((resolve) => listener.listen(0, host, resolve));
  const { port } = listener.address() as net.AddressInfo;
  return {
    port,
    [Symbol.asyncDispose]: () => new Promise<void>((resolve) => listener.close(() => resolve())),
  };
}

Deno.test("dial carries bytes and a half-close both ways", async () => {
  await using bed = await agentBed();
  const client = await bed.connect();
  await using guest = await server((socket) => {
    const got: Uint8Array[] = [];
    socket.on("data", (chunk) => got.push(chunk));
    // Answers only after the client's end: half-close has to come through.
    socket.on("end", () => socket.end(`got ${got.reduce((n, c) => n + c.length, 0)}`));
  });
  const stream = await client.dial(guest.port);
  const writer = stream.writable.getWriter();
  for (let i = 0; i < 64; i++) await writer.write(new Uint8Array(65536));
  await writer.close();
  assert.equal(await new Response(stream.readable).text(), `got ${64 * 65536}`);
});

Deno.test("a reset by the guest's server is a reset of the stream", async () => {
  await using bed = await agentBed();
  const client = await bed.connect();
  await using guest = await server((socket) => {
    socket.on("error", () => {});
    socket.once("data", () => socket.resetAndDestroy());
  });
  const stream = await client.dial(guest.port);
  await stream.writable.getWriter().write(new Uint8Array(1));
  await assert.rejects(new Response(stream.readable).bytes());
});

// On ::1 alone, it is found there too.
for (const host of ["127.0.0.1", "::1"]) {
  Deno.test(`an abort on the host is a reset for the guest's server on ${host}`, async () => {
    await using bed = await agentBed();
    const client = await bed.connect();
    const failed = Promise.withResolvers<NodeJS.ErrnoException>();
    await using guest = await server((socket) => {
      socket.on("data", () => {});
      socket.on("end", () => failed.reject(new Error("a polite end")));
      socket.on("error", failed.resolve);
    }, host);
    const stream = await client.dial(guest.port);
    await stream.writable.getWriter().write(new Uint8Array(1));
    stream.abort(new Error("the host's client was reset"));
    assert.equal((await failed.promise).code, "ECONNRESET");
  });
}

/** What the kernel holds of connections to and from that port, but for the listener. */
function connectionsOf(port: number): number {
  const hex = `:${port.toString(16).toUpperCase().padStart(4, "0")}`;
  const LISTEN = "0A";
  return Deno.readTextFileSync("/proc/net/tcp").split("\n").slice(1)
    .map((line) => line.trim().split(/\s+/))
    .filter(([, local, remote, state]) =>
      state !== LISTEN && (local?.endsWith(hex) || remote?.endsWith(hex))
    ).length;
}

for (const how of ["client is reset", "session ends"] as const) {
  Deno.test(`a connection goes when its ${how}, though the guest's server ended its half and reads nothing`, async () => {
    await using bed = await agentBed();
    const mux = bed.link();
    const client = await connectAgent(mux, { tokens: bed.tokens });
    using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const { port } = listener.addr;
    const stream = await client.dial(port);
    using server = await listener.accept();
    await server.closeWrite();
    const reader = stream.readable.getReader();
    assert.equal((await reader.read()).done, true);

    // Until the windows and the kernel's buffers are full, and the agent waits in its write.
    let sent = 0;
    const writer = stream.writable.getWriter();
    const uploading = (async () => {
      for (;; sent++) await writer.write(new Uint8Array(65536));
    })();
    for (let before = -1; before < sent;) {
      before = sent;
      await new Promise((resolve) => setTimeout(resolve, 300));
    }
    if (how === "client is reset") stream.abort(new Error(how));
    else mux.close();
    await assert.rejects(uploading);
    for (let turn = 0; connectionsOf(port) > 0 && turn < 1000; turn++) {
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    assert.equal(connectionsOf(port), 0);
  });
}

Deno.test("a port where nothing listens is refused, with the reason", async () => {
  await using bed = await agentBed();
  const client = await bed.connect();
  let port: number;
  {
    await using guest = await server(() => {});
    port = guest.port;
  }
  await assert.rejects(
    client.dial(port),
    (error: { code: string; data: { reason: string } }) =>
      error.code === "agent_error" && error.data.reason === "refused",
  );
});

Deno.test("listeners names a port that something listens on", async () => {
  await using bed = await agentBed();
  const client = await bed.connect();
  await using guest = await server(() => {});
  const found = (await client.listeners()).find((each) => each.port === guest.port);
  assert.deepEqual(found, { port: guest.port, address: "127.0.0.1", family: "IPv4", uid: 0 });
});

Deno.test("a reset meets one connection, not another that has the same ports elsewhere", async () => {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  using dialled = await Deno.connect({ hostname: "127.0.0.1", port: listener.addr.port });
  using accepted = await listener.accept();
  const { localAddr, remoteAddr } = dialled;
  resetConnection(localAddr, { ...remoteAddr, hostname: "127.0.0.2" });
  resetConnection({ ...localAddr, hostname: "::1" }, remoteAddr);
  await dialled.write(new Uint8Array(1));
  assert.equal(await accepted.read(new Uint8Array(9)), 1);
  resetConnection(localAddr, remoteAddr);
  await assert.rejects(accepted.read(new Uint8Array(9)), { code: "ECONNRESET" });
});
