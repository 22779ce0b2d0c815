/**
 * What anybody of the same user may throw at a daemon's socket: others are answered all the same,
 * and it does not grow. FULL=1 makes the fuzzing as large as the issue asks.
 */
import assert from "node:assert/strict";
import fc from "fast-check";
import { askLine } from "../../src/daemon/ask_line.ts";
import { connectDaemon } from "../../src/daemon/client.ts";
import { encodeFrame, FrameReader, FrameWriter } from "../../src/wire/frames.ts";
import { unixDuplex } from "../../src/daemon/unix_duplex.ts";
import { asTestClient, DaemonRig, daemonTest, netcat } from "../support/daemon_rig.ts";
import { until } from "../support/folder_bed.ts";

const FULL = Deno.env.get("FULL") !== undefined;
const MIB = 1024 * 1024;

async function memory(rig: DaemonRig): Promise<number> {
  return Number((await askLine(rig.paths, "status", { timeoutMs: 5000 })).memory);
}

/** What was thrown away may take the collector a moment; what is held stays. */
async function doesNotGrow(rig: DaemonRig, before: number, lessThan: number): Promise<void> {
  let grown = Infinity;
  await until(
    async () => (grown = await memory(rig) - before) < lessThan,
    () => `memory grew by ${grown} bytes`,
  );
}

async function open(rig: DaemonRig): Promise<Deno.UnixConn> {
  return await Deno.connect({ transport: "unix", path: rig.paths.socket });
}

/** Sends, then reads whatever comes until the daemon closes. */
async function send(rig: DaemonRig, bytes: Uint8Array): Promise<string> {
  using conn = await open(rig);
  const answer = (async () => {
    let text = "";
    const buffer = new Uint8Array(64 * 1024);
    try {
      for (let n = await conn.read(buffer); n !== null; n = await conn.read(buffer)) {
        text += new TextDecoder().decode(buffer.subarray(0, n));
      }
    } catch {
      // Reset: the daemon closed while we were still sending.
    }
    return text;
  })();
  try {
    for (let at = 0; at < bytes.length;) at += await conn.write(bytes.subarray(at));
    await conn.closeWrite();
  } catch {
    // It did not want the rest.
  }
  return await answer;
}

function frame(text: string): Uint8Array {
  const body = new TextEncoder().encode(text);
  const whole = new Uint8Array(4 + body.length);
  new DataView(whole.buffer).setUint32(0, body.length);
  whole.set(body, 4);
  return whole;
}

daemonTest(
  "INV-D008 garbage gets at most one error and a closed connection; the daemon stays as it was",
  async () => {
    await using rig = new DaemonRig();
    await (await rig.ensure()).close();
    const pid = await rig.pid();
    const hello = frame(
      '{"hello":{"proto":{"min":1,"max":1},"version":"0","build":"","nonce":"00"}}',
    );
    const garbage = fc.oneof(
      fc.uint8Array({ maxLength: 300 }),
      fc.string({ maxLength: 100 }).map((text) => new TextEncoder().encode(text + "\n")),
      fc.json().map(frame),
      fc.tuple(fc.integer({ min: 1, max: hello.length - 1 }), fc.integer({ min: 0, max: 255 })).map(
        ([at, byte]) => hello.with(at, byte),
      ),
      fc.integer({ min: 1, max: hello.length - 1 }).map((at) => hello.slice(0, at)),
      fc.constantFrom("hello\n", "GET / HTTP/1.1\r\n\r\n", "ping status\n", "PING\n", "p").map((
        text,
      ) => new TextEncoder().encode(text)),
    );
    const inputs = fc.sample(garbage, { numRuns: FULL ? 100_000 : 5000, seed: 6 });
    // Words that do something are for other tests.
    const harmless = inputs.filter((bytes) =>
      !/^(release|shutdown|destroy)\r?\n/.test(new TextDecoder().decode(bytes))
    );
    for (let at = 0; at < 500; at += 8) await sendAll(rig, harmless.slice(at, at + 8));
    const before = await memory(rig);
    for (let at = 500; at < harmless.length; at += 8) {
      await sendAll(rig, harmless.slice(at, at + 8));
    }
    assert.deepEqual((await askLine(rig.paths, "ping", { timeoutMs: 5000 })).pid, pid);
    await doesNotGrow(rig, before, 16 * MIB);
  },
);

async function sendAll(rig: DaemonRig, inputs: Uint8Array[]): Promise<void> {
  for (const answer of await Promise.all(inputs.map((bytes) => send(rig, bytes)))) {
    const replies = answer.split(/(?=ok \{|error [a-z_]+ )|(?<=\})\n?(?=....\{)/s).filter(Boolean);
    assert.ok(replies.length <= 2, `more than a welcome and an error: ${answer}`);
  }
}

daemonTest("INV-D007 16 MiB of [[[[ cost nothing and hold nobody up", async () => {
  await using rig = new DaemonRig();
  const client = await rig.ensure();
  const before = await memory(rig);
  const nested = new Uint8Array(16 * MIB).fill(0x5b);
  const as = (announced: number) => {
    const whole = new Uint8Array(4 + nested.length);
    new DataView(whole.buffer).setUint32(0, announced);
    whole.set(nested, 4);
    return whole;
  };
  const sent = [nested, as(nested.length), as(64 * 1024), as(0xffffffff)].map((b) => send(rig, b));
  assert.deepEqual(await client.request("echo", { still: "here" }), { still: "here" });
  const answers = await Promise.all(sent);
  for (const answer of answers) assert.match(answer, /too_large|protocol_error|^$/);
  assert.match(answers.join(), /deeper than 64/);
  await doesNotGrow(rig, before, 16 * MIB);
  await client.close();
});

daemonTest(
  "CTR-D008 idle connections and half frames hold up nobody; the oldest idle one goes first",
  async () => {
    await using rig = new DaemonRig();
    const client = await rig.ensure();
    const idle = await Promise.all(Array.from({ length: 40 }, () => open(rig)));
    for (const [i, conn] of idle.entries()) {
      // Half a head, half a body, half a line, or nothing.
      const parts = [[0], [0, 0, 0, 50, 0x7b], [0x70], []];
      await conn.write(new Uint8Array(parts[i % 4])).catch(() => {});
    }
    assert.deepEqual(await client.request("echo", { n: 1 }), { n: 1 });
    assert.equal((await askLine(rig.paths, "ping", { timeoutMs: 5000 })).pid, await rig.pid());
    const fresh = await rig.ensure();
    assert.deepEqual(await fresh.request("echo", { n: 2 }), { n: 2 });
    // The last ones are ended for saying nothing whole within 5 s.
    const last = idle.at(-1)!;
    const buffer = new Uint8Array(1000);
    let text = "";
    for (let n = await last.read(buffer); n !== null; n = await last.read(buffer)) {
      text += new TextDecoder().decode(buffer.subarray(0, n));
    }
    assert.match(text, /"name":"timeout"/);
    idle.forEach((conn) => conn.close());
    await client.close();
    await fresh.close();
  },
);

daemonTest("a burst of clients is served whole: none that speaks is sent away", async () => {
  await using rig = new DaemonRig();
  await (await rig.ensure()).close();
  const clients = await Promise.all(Array.from({ length: 100 }, () => connectDaemon(rig.paths)));
  const answers = await Promise.all(
    clients.map((client, n) => asTestClient(client).request("echo", { n })),
  );
  assert.deepEqual(answers, clients.map((_, n) => ({ n })));
  await Promise.all(clients.map((client) => client.close()));
});

daemonTest("who has said hello keeps its place, however many come after it", async () => {
  await using rig = new DaemonRig();
  await (await rig.ensure()).close();
  const hello = {
    hello: { proto: { min: 1, max: 1 }, version: "1.0.0", build: "b", nonce: "0".repeat(64) },
  };
  const greeted = await Promise.all(Array.from({ length: 20 }, async () => {
    const duplex = unixDuplex(await open(rig));
    const writer = new FrameWriter(duplex.writable);
    await writer.send(hello);
    const reader = new FrameReader(duplex.readable);
    assert.ok(Object.hasOwn((await reader.next())!.value as object, "welcome"));
    return { duplex, writer, reader };
  }));
  const silent = await Promise.all(Array.from({ length: 40 }, () => open(rig)));
  await askLine(rig.paths, "ping", { timeoutMs: 5000 });
  for (const { writer, reader, duplex } of greeted) {
    await writer.send({ proof: "of nothing" });
    const { error } = (await reader.next())!.value as { error: { name: string } };
    assert.equal(error.name, "unauthorized");
    duplex.abort();
  }
  silent.forEach((conn) => conn.close());
});

daemonTest(
  "a client that never reads blocks nobody and does not make the daemon grow",
  async () => {
    await using rig = new DaemonRig();
    const client = await rig.ensure();
    await client.request("echo", {});
    const greedy = await Promise.all(Array.from({ length: 8 }, () => rig.ensure()));
    const before = await memory(rig);
    const stuck = greedy.map((each, i) =>
      each.request(i % 2 === 0 ? "flood" : "spill", { bytes: 32 * 1024, count: 2000 }, {
        onEvent: () => new Promise(() => {}),
      }).catch(() => {})
    );
    for (let n = 0; n < 50; n++) {
      assert.deepEqual(await client.request("echo", { n }), { n });
      await askLine(rig.paths, "status", { timeoutMs: 5000 });
    }
    await doesNotGrow(rig, before, 32 * MIB);
    await Promise.all(greedy.map((each) => each.close()));
    await Promise.all(stuck);
    assert.deepEqual(await client.request("echo", { after: true }), { after: true });
    await client.close();
  },
);

daemonTest("a client that asks without end and never reads is not read from either", async () => {
  await using rig = new DaemonRig();
  const { connectRaw } = await rawClient(rig);
  const conn = await connectRaw();
  const request = encodeFrame({ id: 1, method: "nope", params: { text: "x".repeat(1000) } });
  const many = new Uint8Array(request.length * 2000);
  for (let i = 0; i < 2000; i++) many.set(request, i * request.length);
  let written = 0;
  const writing = (async () => {
    for (let round = 0; round < 10; round++) {
      for (let at = 0; at < many.length;) {
        const n = await conn.write(many.subarray(at));
        at += n;
        written += n;
      }
    }
  })().catch(() => {});
  // It comes to a standstill, sooner or later, while others are answered all the time.
  const standsStill = async () => {
    const before = written;
    for (let n = 0; n < 30; n++) await askLine(rig.paths, "ping", { timeoutMs: 5000 });
    return written > 0 && written === before;
  };
  await until(standsStill, () => "it still takes requests although nobody takes its answers");
  const reached = written;
  await new Promise((resolve) => setTimeout(resolve, 300));
  assert.ok(await standsStill() && written === reached, "it goes on taking requests");
  assert.ok(written < 4 * MIB, `${written} bytes were taken`);
  conn.close();
  await writing;
});

/** A connection past its hello, without a reader. */
async function rawClient(rig: DaemonRig) {
  await (await rig.ensure()).close();
  const { introduce } = await import("../../src/daemon/handshake.ts");
  const { FrameWriter } = await import("../../src/wire/frames.ts");
  const { readToken } = await import("../../src/daemon/token.ts");
  return {
    async connectRaw(): Promise<Deno.UnixConn> {
      const conn = await open(rig);
      const duplex = unixDuplex(conn);
      await introduce(new FrameReader(duplex.readable), new FrameWriter(duplex.writable), {
        token: (await readToken(rig.paths.daemonToken))!,
        version: "0",
        build: "raw",
      });
      return conn;
    },
  };
}

daemonTest(
  "a shutdown once begun is never taken back: INV-D001 mutations get shutting_down",
  async () => {
    await using rig = new DaemonRig();
    const client = await rig.ensure();
    // Keeps the daemon draining for its 2 s.
    const held = client.request("sleep", { ms: 60_000 }).catch((error) => error.code);
    await client.request("echo", {});
    assert.deepEqual((await client.request("release") as { releasing: boolean }).releasing, true);
    await assert.rejects(client.request("change"), /ending/);
    await assert.rejects(client.request("sleep", { ms: 1 }), /ending/);
    assert.equal((await client.request("ping") as { pid: number }).pid > 0, true);
    await client.request("release");
    await assert.rejects(client.request("change"), /ending/);
    assert.ok(["shutting_down", "daemon_failed"].includes(String(await held)));
    await client.close();
    await rig.ended();
  },
);

daemonTest("INV-D002 started_at never changes and uptime only grows", async () => {
  await using rig = new DaemonRig();
  await (await rig.ensure()).close();
  const first = await askLine(rig.paths, "status", { timeoutMs: 5000 });
  let before = first;
  for (let n = 0; n < 20; n++) {
    const now = await askLine(rig.paths, "status", { timeoutMs: 5000 });
    assert.equal(now.started_at, first.started_at);
    // Whole milliseconds: two answers may come within one.
    assert.ok(Number(now.uptime_ms) >= Number(before.uptime_ms));
    before = now;
  }
  await new Promise((later) => setTimeout(later, 5));
  const last = await askLine(rig.paths, "status", { timeoutMs: 5000 });
  assert.ok(Number(last.uptime_ms) > Number(first.uptime_ms));
});

daemonTest("what survives its client runs to its end after a disconnect", async () => {
  await using rig = new DaemonRig();
  const client = await rig.ensure();
  // Long enough that it is under way when the client goes.
  const lost = client.request("outlive", { ms: 2000 }).catch((error) => error.code);
  await client.request("echo", {});
  await client.close();
  assert.equal(await lost, "cancelled");
  for (let n = 0; !(await rig.files()).includes("marker"); n++) {
    assert.ok(n < 500, "the operation ended with its client");
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
});

daemonTest("two lines in a burst get one answer, and netcat sees it without -N", async () => {
  await using rig = new DaemonRig();
  await (await rig.ensure()).close();
  assert.match(await netcat(rig.paths.socket, "ping\nping\n"), /^ok \{.*\}\n$/);
});
