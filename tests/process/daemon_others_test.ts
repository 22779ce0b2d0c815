/** A launcher that meets somebody who is no daemon of its own version. */
import assert from "node:assert/strict";
import { RumError } from "../../src/base/errors.ts";
import { VERSION } from "../../src/base/version.ts";
import { askLine } from "../../src/daemon/ask_line.ts";
import { greet } from "../../src/daemon/handshake.ts";
import { serveOneShot } from "../../src/daemon/one_shot.ts";
import { probeDaemon } from "../../src/daemon/probe.ts";
import { publishSocket } from "../../src/daemon/publish.ts";
import { ensureToken } from "../../src/daemon/token.ts";
import { unixDuplex } from "../../src/daemon/unix_duplex.ts";
import { describeHolder, type LockHandle, tryFlock } from "../../src/store/flock.ts";
import { ensureOwnFolder } from "../../src/store/ownership.ts";
import { FrameReader, FrameWriter } from "../../src/wire/frames.ts";
import { wireError } from "../../src/wire/rpc_types.ts";
import { DaemonRig, daemonTest } from "../support/daemon_rig.ts";

const code = (name: string) => (error: unknown) => error instanceof RumError && error.code === name;

async function hold(rig: DaemonRig, role: "daemon" | "one-shot"): Promise<LockHandle> {
  await ensureOwnFolder(rig.paths.lock.replace(/\/[^/]*$/, ""));
  await ensureOwnFolder(rig.paths.folder);
  const holder = await describeHolder({ role, operation: "down", deadlineMs: 60_000 });
  return (await tryFlock(rig.paths.lock, holder))!;
}

/** A daemon that speaks protocol 7 to 9 and the line protocol. */
async function futureDaemon(rig: DaemonRig) {
  const lock = await hold(rig, "daemon");
  const token = await ensureToken(rig.paths.daemonToken);
  const published = await publishSocket(rig.paths);
  const words: string[] = [];
  const end = async () => {
    published.listener.close();
    await published.remove();
    await lock.release();
  };
  const serving = (async () => {
    for await (const conn of published.listener) {
      const duplex = unixDuplex(conn as Deno.UnixConn);
      const reader = new FrameReader(duplex.readable);
      const writer = new FrameWriter(duplex.writable);
      if ((await reader.peek() ?? 0) >= 0x41) {
        words.push(await reader.line(64) ?? "");
        await writer.sendBytes(new TextEncoder().encode('ok {"releasing":true}\n'));
        await end();
      } else {
        await greet(reader, writer, {
          info: { version: "9.0.0", build: "x", capabilities: [], configHash: () => undefined },
          token: () => Promise.resolve(token),
          protocol: { min: 7, max: 9 },
        }).catch((error) => writer.send({ error: wireError(error) }));
      }
      await writer.close();
      duplex.abort();
    }
  })();
  return { words, serving, end };
}

daemonTest(
  "no common protocol: refused with a hint, and the other daemon is left in place",
  async () => {
    await using rig = new DaemonRig();
    const future = await futureDaemon(rig);
    const error: RumError = await rig.ensure().then(() => assert.fail("connected"), (e) => e);
    assert.ok(code("version_mismatch")(error), String(error));
    assert.match(error.message, /9\.0\.0.*7 to 9/);
    assert.match(error.hint ?? "", /daemon restart/);
    assert.deepEqual(future.words, []);
    await future.end();
    await future.serving;
  },
);

daemonTest(
  "no common protocol, and the user agrees: released by the line protocol, once, then replaced",
  async () => {
    await using rig = new DaemonRig();
    const future = await futureDaemon(rig);
    const asked: string[] = [];
    const client = await rig.ensure({
      onOtherVersion: (refusal) => {
        asked.push(refusal.code);
        return Promise.resolve(true);
      },
    });
    assert.deepEqual(asked, ["version_mismatch"]);
    assert.deepEqual(future.words, ["release"]);
    assert.notEqual((await client.request("ping") as { pid: number }).pid, Deno.pid);
    await client.close();
    await future.serving;
  },
);

daemonTest(
  "another's daemon that ends while the user is asked about it is simply replaced",
  async () => {
    await using rig = new DaemonRig();
    const future = await futureDaemon(rig);
    const client = await rig.ensure({
      async onOtherVersion() {
        await future.end();
        return true;
      },
    });
    assert.notEqual((await client.request("ping") as { pid: number }).pid, Deno.pid);
    await client.close();
    await future.serving;
  },
);

daemonTest(
  "a daemon that is stopped right after its welcome is hung, and Ctrl+C ends the wait",
  async () => {
    await using rig = new DaemonRig();
    await using _lock = await hold(rig, "daemon");
    const token = await ensureToken(rig.paths.daemonToken);
    const published = await publishSocket(rig.paths);
    const welcomed = Promise.withResolvers<void>();
    const serving = (async () => {
      for await (const conn of published.listener) {
        const duplex = unixDuplex(conn as Deno.UnixConn);
        await greet(new FrameReader(duplex.readable), new FrameWriter(duplex.writable), {
          info: { version: VERSION, build: "x", capabilities: [], configHash: () => undefined },
          token: () => Promise.resolve(token),
        });
        welcomed.resolve();
      }
    })();
    const interrupts = new AbortController();
    const interrupted = rig.ensure({ signal: interrupts.signal });
    await welcomed.promise;
    interrupts.abort(new RumError("interrupted", "Interrupted by Ctrl+C"));
    await assert.rejects(interrupted, code("interrupted"));
    await assert.rejects(rig.ensure(), code("daemon_hung"));
    published.listener.close();
    await serving;
  },
);

daemonTest(
  "a one-shot holder answers status, is busy for the rest, and is waited for",
  async () => {
    await using rig = new DaemonRig();
    const lock = await hold(rig, "one-shot");
    const voice = await serveOneShot({
      paths: rig.paths,
      lock,
      status: () => ({ phase: "stopping" }),
    });
    const state = await probeDaemon(rig.paths);
    assert.deepEqual(state, { kind: "running", status: { phase: "stopping" } });
    await assert.rejects(askLine(rig.paths, "shutdown", { timeoutMs: 5000 }), code("busy"));
    await assert.rejects(rig.ensure({ timeoutMs: 300 }), code("timeout"));
    const waiting = rig.ensure();
    await voice[Symbol.asyncDispose]();
    await lock.release();
    await (await waiting).close();
  },
);

daemonTest(
  "a daemon whose token is gone is destroying the machine: its end is waited for",
  async () => {
    await using rig = new DaemonRig();
    const lock = await hold(rig, "daemon");
    const published = await publishSocket(rig.paths);
    const waiting = rig.ensure();
    const first = await published.listener.accept();
    // The client has closed: it found no token.
    assert.equal(await first.read(new Uint8Array(1)), null);
    first.close();
    published.listener.close();
    await published.remove();
    await lock.release();
    const client = await waiting;
    assert.notEqual((await client.request("ping") as { pid: number }).pid, Deno.pid);
    await client.close();
  },
);
