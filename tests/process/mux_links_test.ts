import { Buffer } from "node:buffer";
import assert from "node:assert/strict";
import { serveLinks } from "../../agent/link.ts";
import { libc } from "../../ffi/libc.ts";
import { VirtioPort } from "../../agent/virtio_port.ts";
import { withDeadline } from "../../src/base/deadline.ts";
import { channelLink } from "../../src/guest/link_channel.ts";
import { virtioLink } from "../../src/guest/link_virtio.ts";
import { vsockLink } from "../../src/guest/link_vsock.ts";
import { connCarrier } from "../../src/wire/mux_conn.ts";
import { createMux, muxOver } from "../../src/wire/mux.ts";
import type { Mux } from "../../src/wire/mux_types.ts";
import type { Duplex } from "../../src/wire/duplex.ts";
import { duplexPair } from "../../src/wire/pipe.ts";
import { serve } from "../support/mux_guest.ts";

// The C library stays open for good; loaded here, it is not taken for a leak of the first test.
const CALLS = [
  "open",
  "read",
  "write",
  "write_waiting",
  "poll_waiting",
  "fcntl",
  "eventfd",
  "close",
  "__errno_location",
] as const;
for (const call of CALLS) libc(call);

const HEADER = new TextEncoder().encode(`{"op":"echo"}`);

async function roundTrip(mux: Mux, bytes: Uint8Array): Promise<void> {
  const stream = await mux.open(HEADER);
  const writer = stream.writable.getWriter();
  const [back] = await Promise.all([
    new Response(stream.readable as BodyInit).bytes(),
    writer.write(bytes).then(() => writer.close()),
  ]);
  assert.ok(Buffer.from(back).equals(Buffer.from(bytes)));
}

function within<T>(waitingFor: string, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  return withDeadline({ waitingFor, timeoutMs: 60_000 }, work);
}

/** An agent that serves echoes on a Unix socket, until stopped. */
function agent(path: string): { stop(): Promise<void> } {
  const stop = new AbortController();
  const served = serveLinks({
    link: `unix:${path}`,
    signal: stop.signal,
    log: () => {},
    serve: (mux) => void serve(mux),
  });
  return { stop: () => (stop.abort(), served) };
}

Deno.test("A link waits for its socket, and comes back after the other side did", async () => {
  const folder = await Deno.makeTempDir();
  const path = `${folder}/agent.sock`;
  const link = virtioLink(path);
  const early = within("the first session", (signal) => link.next({ signal }));
  assert.equal(link.transport, "virtio-serial");
  for (let life = 0; life < 3; life++) {
    const guest = agent(path);
    const mux = life === 0
      ? await early
      : await within("a session", (signal) => link.next({ signal }));
    await roundTrip(mux, crypto.getRandomValues(new Uint8Array(50_000)));
    await guest.stop();
    assert.equal((await mux.closed as { code?: string }).code, "agent_unavailable");
  }
  link.close();
  await Deno.remove(folder, { recursive: true });
});

Deno.test("A wait that runs out can say what was seen last", async () => {
  const link = virtioLink("/nonexistent/agent.sock");
  await assert.rejects(
    withDeadline(
      { waitingFor: "The agent", timeoutMs: 100, lastSeen: () => link.lastSeen() },
      (signal) => link.next({ signal }),
    ),
    /seen last: the agent's socket "\/nonexistent\/agent.sock" does not answer: it is not there/,
  );
  link.close();
  await assert.rejects(link.next({ signal: new AbortController().signal }), { code: "cancelled" });
});

Deno.test("The same link through a channel that somebody else opens", async () => {
  let opened = 0;
  const guests: Mux[] = [];
  const link = channelLink(() => {
    if (++opened === 1) return Promise.reject(new Error("the machine is still starting"));
    const [host, guest] = duplexPair();
    const mux = createMux(guest, { role: "guest" });
    guests.push(mux);
    void serve(mux);
    return Promise.resolve(host);
  });
  for (let life = 0; life < 2; life++) {
    const mux = await within("a session", (signal) => link.next({ signal }));
    await roundTrip(mux, new Uint8Array(1000));
    guests[life].close();
    await mux.closed;
  }
  link.close();
});

Deno.test("vsock without the runtime's leave is an error and not the end of the process", async () => {
  const link = vsockLink({ cid: () => Promise.resolve(1), port: 9 });
  await assert.rejects(
    withDeadline(
      { waitingFor: "The agent", timeoutMs: 100, lastSeen: () => link.lastSeen() },
      (signal) => link.next({ signal }),
    ),
    /--unstable-vsock/,
  );
  link.close();
  const signal = new AbortController().signal;
  await assert.rejects(
    serveLinks({ link: "vsock:9", signal, log: () => {}, serve: () => {} }),
    /--unstable-vsock/,
  );
  await assert.rejects(
    serveLinks({ link: "pigeon", signal, log: () => {}, serve: () => {} }),
    /wants auto, port:PATH/,
  );
});

/** A connected pair of Unix sockets, one end as the bare descriptor that a port would be. */
async function portPair(): Promise<{ port: VirtioPort; host: Deno.UnixConn }> {
  const folder = await Deno.makeTempDir();
  const listener = Deno.listen({ transport: "unix", path: `${folder}/s` });
  const lib = Deno.dlopen("libc.so.6", {
    socket: { parameters: ["i32", "i32", "i32"], result: "i32" },
    connect: { parameters: ["i32", "buffer", "u32"], result: "i32" },
  });
  const fd = lib.symbols.socket(1, 1, 0);
  const address = new Uint8Array(110);
  address[0] = 1;
  address.set(new TextEncoder().encode(`${folder}/s`), 2);
  assert.equal(lib.symbols.connect(fd, address, 110), 0);
  lib.close();
  const host = await listener.accept();
  listener.close();
  await Deno.remove(folder, { recursive: true });
  return { port: new VirtioPort(fd), host: host as Deno.UnixConn };
}

Deno.test("The port by raw calls: bytes both ways, sleeping between them, and a hang-up is an end", async () => {
  const { port, host } = await portPair();
  const guest = muxOver(await port.connect(), { role: "guest" });
  const hostMux = createMux(connCarrier(host), { role: "host" });
  void serve(await within("the host", (signal) => guest.next({ signal })));
  for (const size of [0, 1, 4096, 3_000_000]) {
    await roundTrip(hostMux, new Uint8Array(size).map((_, i) => i * 31));
  }
  hostMux.close();
  assert.match((await guest.closed).message, /the host ended: its carrier was closed/);
  port[Symbol.dispose]();
});

Deno.test("Closing the port on this side ends a wait for bytes", async () => {
  const { port, host } = await portPair();
  const carrier = await port.connect();
  const writer = carrier.writable.getWriter();
  await writer.write(new Uint8Array([1]));
  const reading = carrier.readable.getReader().read();
  carrier.abort(new Error("enough"));
  await assert.rejects(reading, /enough/);
  await assert.rejects(writer.write(new Uint8Array([2])), /enough/);
  port[Symbol.dispose]();
  assert.equal(await host.read(new Uint8Array(8)), 1);
  assert.equal(await host.read(new Uint8Array(8)), null);
  host.close();
});

Deno.test("A port that is not there is named", () => {
  assert.throws(
    () => VirtioPort.open("/dev/virtio-ports/none"),
    /"\/dev\/virtio-ports\/none" failed/,
  );
});

Deno.test("Closing a link while it dials leaves no connection behind", async () => {
  const dialled = Promise.withResolvers<Duplex>();
  const link = channelLink(() => dialled.promise);
  const signal = new AbortController().signal;
  const waiting = [link.next({ signal }), link.next({ signal })];
  link.close();
  const [host, guest] = duplexPair();
  dialled.resolve(host);
  for (const wait of waiting) await assert.rejects(wait, { code: "cancelled" });
  await assert.rejects(guest.readable.getReader().closed);
});
