/** What commands say and do while a machine's background process comes, goes, or is no daemon at all. */
import assert from "node:assert/strict";
import { RumError } from "../../src/base/errors.ts";
import { VERSION } from "../../src/base/version.ts";
import { run as adopt } from "../../src/cli/adopt.ts";
import { run as daemon } from "../../src/cli/daemon.ts";
import { daemonClient } from "../../src/cli/daemon_client.ts";
import { run as destroy } from "../../src/cli/destroy.ts";
import { run as down } from "../../src/cli/down.ts";
import { runInGuest } from "../../src/cli/exec_run.ts";
import { run as events } from "../../src/cli/events.ts";
import { run as log } from "../../src/cli/log.ts";
import { run as pause } from "../../src/cli/pause.ts";
import { lookAt } from "../../src/cli/look.ts";
import { withInclude } from "../../src/cli/ssh_include.ts";
import { run as up } from "../../src/cli/up.ts";
import { run as wait } from "../../src/cli/wait.ts";
import { buildName } from "../../src/daemon/client.ts";
import type { LineHandlers } from "../../src/daemon/line_protocol.ts";
import { publishSocket } from "../../src/daemon/publish.ts";
import { DaemonServer } from "../../src/daemon/server.ts";
import { anything, object } from "../../src/protocol/shape.ts";
import { type CallIo, method, type MethodTable } from "../../src/wire/rpc_types.ts";
import type { Context, VerbCall } from "../../src/cli/verb.ts";
import { oneShotStatus } from "../../src/daemon/alone.ts";
import type { Engine } from "../../src/daemon/engine.ts";
import { serveOneShot } from "../../src/daemon/one_shot.ts";
import { ensureToken } from "../../src/daemon/token.ts";
import { newRecord } from "../../src/machine/record.ts";
import { rumPaths } from "../../src/plan/paths.ts";
import { livingHolder } from "../../src/daemon/probe.ts";
import { formatEvent, type MachineEvent } from "../../src/protocol/machine_events.ts";
import { describeHolder, type LockHandle, tryFlock } from "../../src/store/flock.ts";
import { bindConfigPath, ensureMachineFolder } from "../../src/store/machine_folder.ts";
import { saveState } from "../../src/store/state_file.ts";
import { createOutput } from "../../src/ui/output.ts";
import { DaemonRig, daemonTest } from "../support/daemon_rig.ts";

const code = (name: string) => (error: unknown) => error instanceof RumError && error.code === name;

/** A machine on disk and a command's context over it; what the command prints comes in pieces. */
class Bed extends DaemonRig {
  readonly said: string[] = [];
  onSaid?: (text: string) => void;
  readonly interrupts = new AbortController();
  readonly #host = { uid: Deno.uid() ?? 0, home: this.data, xdgDataHome: this.data };
  #heard = Promise.withResolvers<void>();

  readonly context: Context = {
    cwd: this.data,
    env: Deno.env.toObject(),
    host: this.#host,
    paths: rumPaths(this.#host),
    out: createOutput({
      mode: "plain",
      colour: false,
      verbose: true,
      quiet: false,
      stdout: this.#ear(),
      stderr: this.#ear(),
    }),
    globals: { verbose: false, quiet: false, noInput: true, machine: this.id },
    signal: this.interrupts.signal,
    canAsk: false,
    stdinIsTerminal: false,
    stdoutIsTerminal: false,
  };

  get target() {
    return { id: this.id, paths: this.paths };
  }

  async make(): Promise<void> {
    await ensureMachineFolder(this.context.paths, this.paths);
    await bindConfigPath(this.paths, `${this.data}/gone/rum.toml`);
    await ensureToken(this.paths.daemonToken);
  }

  async hold(role: "daemon" | "one-shot"): Promise<LockHandle> {
    return (await tryFlock(this.paths.lock, await describeHolder({ role, operation: "down" })))!;
  }

  soon(): Promise<void> {
    return new Promise((resolve) => setTimeout(resolve, 10));
  }

  /** This very process as the daemon, until disposed; the lock is the test's. */
  async serve(
    methods: MethodTable,
    lines: Partial<LineHandlers> = {},
  ): Promise<AsyncDisposable> {
    const token = await ensureToken(this.paths.daemonToken);
    const published = await publishSocket(this.paths);
    const ping = method({ params: object({}), kind: "read", handle: () => ({}) });
    const server = new DaemonServer({
      info: { version: VERSION, build: buildName(), capabilities: [], configHash: () => undefined },
      lines: lines as LineHandlers,
      methods: { ping, ...methods },
      token: () => Promise.resolve(token),
      shuttingDown: new AbortController().signal,
      log: () => {},
    });
    server.listen(published.listener, published.boundPath);
    return {
      async [Symbol.asyncDispose]() {
        await server.stopAccepting();
        await server.drain(50);
        await published.remove();
      },
    };
  }

  async heard(pattern: RegExp): Promise<void> {
    while (!pattern.test(this.said.join(""))) await this.#heard.promise;
  }

  #ear() {
    return {
      writeSync: (bytes: Uint8Array) => {
        const text = new TextDecoder().decode(bytes);
        this.said.push(text);
        this.onSaid?.(text);
        this.#heard.resolve();
        this.#heard = Promise.withResolvers();
        return bytes.length;
      },
    };
  }
}

function call(options: VerbCall["options"], ...operands: string[]): VerbCall {
  return { verb: [], operands, options };
}

function warning(seq: number, at: string, text: string): string {
  return formatEvent({ v: 1, seq, at, kind: "warning", text } as MachineEvent) + "\n";
}

daemonTest("events -f outlives a lone down, and a machine that counts from 1 again", async () => {
  await using bed = new Bed();
  await bed.make();
  await Deno.writeTextFile(bed.paths.events, warning(41, "2026-01-01T00:00:00.000Z", "old"), {
    mode: 0o600,
  });
  {
    await using lock = await bed.hold("one-shot");
    await using _voice = await serveOneShot({ paths: bed.paths, lock, status: () => ({}) });
    const following = events(bed.context, call({ follow: true, since: "40" }));
    await bed.heard(/old/);
    // Two, so that it met the one that is no daemon between its looks at the file.
    let file = "";
    for (const [i, text] of ["new", "next"].entries()) {
      file += warning(i + 1, `2026-01-02T00:00:0${i}.000Z`, text);
      await Deno.writeTextFile(bed.paths.events, file);
      const ended = following.then(() => assert.fail("it ended"));
      await Promise.race([bed.heard(new RegExp(text)), ended]);
    }
    bed.interrupts.abort(new RumError("interrupted", "Interrupted by Ctrl+C"));
    assert.equal(await following, 0);
  }
  assert.equal(bed.said.join("").match(/old|new|next/g)?.length, 3, bed.said.join(""));
});

daemonTest(
  "events -f --since waits for its number, unless a new machine counts from 1",
  async () => {
    await using bed = new Bed();
    await bed.make();
    let file = warning(41, "2026-01-01T00:00:00.000Z", "old");
    await Deno.writeTextFile(bed.paths.events, file, { mode: 0o600 });
    const following = events(bed.context, call({ follow: true, since: "43" }));
    for (const seq of [42, 43, 44]) {
      file += warning(
        seq,
        `2026-01-01T00:00:${seq}.000Z`,
        `no${seq}`,
      );
    }
    await Deno.writeTextFile(bed.paths.events, file);
    await bed.heard(/no44/);
    await Deno.writeTextFile(bed.paths.events, warning(1, "2026-01-02T00:00:00.000Z", "anew"));
    await bed.heard(/anew/);
    assert.doesNotMatch(bed.said.join(""), /old|no42|no43/);
    await Deno.remove(bed.paths.folder, { recursive: true });
    assert.equal(await following, 0);
    assert.match(bed.said.join(""), /was destroyed/);
  },
);

daemonTest("while a daemon starts nobody says that it is gone", async () => {
  await using bed = new Bed();
  await bed.make();
  const configPath = `${bed.data}/gone/rum.toml`;
  const record = newRecord({
    id: bed.id,
    uuid: "0".repeat(8) + "-0000-4000-8000-" + "0".repeat(12),
    name: "rig",
    hypervisorName: `rum-rig-${bed.id}`,
    configPath,
    rumVersion: "0.0.0",
    now: new Date().toISOString(),
  });
  const phase = { kind: "running", text: "running", since: new Date().toISOString() } as const;
  await saveState(bed.paths, { ...record, phase });
  const starting = bed.ensure({ command: bed.command("500") });
  while (await livingHolder(bed.paths.lock) === undefined) await bed.soon();
  await (await daemonClient(bed.context, bed.target)).close();
  await (await starting).close();
  assert.doesNotMatch(bed.said.join(""), /was gone/);
});

daemonTest("status names what a lone down or destroy is at", async () => {
  await using bed = new Bed();
  await bed.make();
  await using lock = await bed.hold("one-shot");
  const engine = {
    id: bed.id,
    record: { name: "rig" },
    controller: { snapshot: () => ({ state: { kind: "absent" } }) },
  } as unknown as Engine;
  const status = () => oneShotStatus(engine, "destroy");
  await using _voice = await serveOneShot({ paths: bed.paths, lock, status });
  assert.deepEqual((await lookAt(bed.target, bed.context.host)).daemon, {
    state: "busy",
    operation: "destroy",
  });
});

daemonTest("a log that went while the logs were listed is left out", async () => {
  await using bed = new Bed();
  await bed.make();
  await Deno.symlink("nowhere", `${bed.paths.logs}/script-went.log`);
  await Deno.writeTextFile(`${bed.paths.logs}/boot.log`, "");
  assert.equal(await log(bed.context, call({ list: true })), 0);
  assert.match(bed.said.join(""), /boot/);
  assert.doesNotMatch(bed.said.join(""), /went/);
});

daemonTest(
  "a machine that is destroyed while adopt waits for it is not found, and not made anew",
  async () => {
    await using bed = new Bed();
    await bed.make();
    await Deno.writeTextFile(`${bed.data}/rum.toml`, "");
    const lock = await bed.hold("one-shot");
    const adopting = adopt(bed.context, call({}, bed.id));
    adopting.catch(() => {});
    await new Promise((resolve) => setTimeout(resolve, 100));
    await Deno.remove(bed.paths.folder, { recursive: true });
    await lock.release();
    await assert.rejects(adopting, code("machine_not_found"));
  },
);

daemonTest(
  "a machine whose daemon is killed at the very end of its destroy is gone, with its line for ssh",
  async () => {
    await using bed = new Bed();
    await bed.make();
    const config = `${bed.data}/.ssh/config`;
    await Deno.writeTextFile(bed.paths.sshConfig, "Host rum-rig\n");
    await Deno.mkdir(`${bed.data}/.ssh`, { mode: 0o700 });
    const mine = "Host mine\n  Port 23\n";
    await Deno.writeTextFile(config, withInclude(mine, bed.context.paths.data), { mode: 0o600 });
    const lock = await bed.hold("daemon");
    const destroying = destroy(bed.context, call({ yes: true }));
    // It was there, and its daemon did not answer.
    await new Promise((resolve) => setTimeout(resolve, 100));
    await Deno.remove(bed.paths.folder, { recursive: true });
    await lock.release();
    assert.equal(await destroying, 0);
    assert.match(bed.said.join(""), /machine and its disks are gone/);
    assert.equal(await Deno.readTextFile(config), mine);
  },
);

function stream(handle: (params: Record<string, unknown>, io: CallIo) => Promise<unknown>) {
  return method({
    params: anything(),
    kind: "stream",
    handle: (_context, params, io) => handle(params as Record<string, unknown>, io),
  });
}

const unending = (io: CallIo) =>
  new Promise<never>((_, reject) =>
    io.signal.addEventListener("abort", () => reject(io.signal.reason), { once: true })
  );

daemonTest("wait goes on with the daemon that follows the one it asked", async () => {
  await using bed = new Bed();
  await bed.make();
  await using _lock = await bed.hold("daemon");
  const asked = Promise.withResolvers<void>();
  const first = await bed.serve({
    wait: stream((_params, io) => {
      asked.resolve();
      return unending(io);
    }),
  });
  const waiting = wait(bed.context, call({ for: "agent" }));
  await asked.promise;
  await first[Symbol.asyncDispose]();
  await using _second = await bed.serve({ wait: stream(() => Promise.resolve({ met: "agent" })) });
  assert.equal(await waiting, 0);
});

daemonTest("an attached up hears of the end that came right after its answer", async () => {
  await using bed = new Bed();
  await bed.make();
  await Deno.mkdir(`${bed.data}/gone`);
  await Deno.writeTextFile(`${bed.data}/gone/rum.toml`, '[image]\nbase = "debian-12"\n');
  await using _lock = await bed.hold("daemon");
  const at = new Date().toISOString();
  const phase = (seq: number, phase: string) => ({
    v: 1,
    seq,
    at,
    kind: "phase",
    phase,
    text: phase,
  });
  await using _daemon = await bed.serve({
    up: stream(async (_params, io) => {
      await io.emit(phase(7, "running"));
      return { did: "ready", exit: 0, owned: true };
    }),
    events: stream(async ({ since }, io) => {
      if (since === 7) await io.emit(phase(8, "stopped"));
      return await unending(io);
    }),
  });
  const late = new Promise((_, reject) => setTimeout(() => reject(new Error("it stays")), 10_000));
  assert.equal(await Promise.race([up(bed.context, call({ attach: true })), late]), 0);
  assert.match(bed.said.join(""), /The machine is off/);
});

daemonTest(
  "a verb's own --timeout is kept while a daemon that hangs is being reached",
  async () => {
    await using bed = new Bed();
    await bed.make();
    await Deno.mkdir(`${bed.data}/gone`);
    await Deno.writeTextFile(`${bed.data}/gone/rum.toml`, '[image]\nbase = "debian-12"\n');
    await (await bed.ensure()).close();
    Deno.kill(await bed.pid(), "SIGSTOP");
    await assert.rejects(wait(bed.context, call({ for: "agent", timeout: "1s" })), code("timeout"));
    const program = { argv: ["true"], tty: false, stdin: false, timeout_ms: 1000 };
    assert.equal(await runInGuest(bed.context, program), 124, bed.said.join(""));
    const context = { ...bed.context, globals: { ...bed.context.globals, timeoutMs: 1000 } };
    await assert.rejects(up(context, call({ detach: true })), code("timeout"));
  },
);

daemonTest("Ctrl+C ends commands whose daemon hears nobody any more", async () => {
  await using bed = new Bed();
  await bed.make();
  await Deno.mkdir(`${bed.data}/gone`);
  await Deno.writeTextFile(`${bed.data}/gone/rum.toml`, '[image]\nbase = "debian-12"\n');
  await using _lock = await bed.hold("daemon");
  const asked = {
    up: Promise.withResolvers<void>(),
    pause: Promise.withResolvers<void>(),
    down: Promise.withResolvers<void>(),
  };
  let deaf = false;
  const forEver = (name: keyof typeof asked) =>
    stream((_params, io) => {
      asked[name].resolve();
      return unending(io);
    });
  await using _daemon = await bed.serve({
    up: forEver("up"),
    pause: forEver("pause"),
    down: forEver("down"),
    interrupt: stream((_params, io) => unending(io)),
  }, { ping: () => deaf ? new Promise(() => {}) : {} });
  const commands = [
    up(bed.context, call({ attach: true })),
    pause(bed.context, { ...call({}), verb: ["pause"] }),
    down(bed.context, call({})),
  ];
  const ends = Promise.allSettled(commands);
  await Promise.all(Object.values(asked).map(({ promise }) => promise));
  deaf = true;
  bed.interrupts.abort(new RumError("interrupted", "Interrupted by Ctrl+C"));
  for (const end of await ends) {
    const known = end.status === "rejected" &&
      (code("daemon_hung")(end.reason) || code("interrupted")(end.reason));
    assert.ok(known, JSON.stringify(end));
  }
});

daemonTest(
  "daemon logs -f loses no line that is written between its tail and its watch",
  async () => {
    await using bed = new Bed();
    await bed.make();
    const write = (line: string) =>
      Deno.writeTextFileSync(bed.paths.daemonLog, `${new Date().toISOString()} ${line}\n`, {
        append: true,
      });
    write("tail");
    bed.onSaid = (text) => /tail/.test(text) && write("between");
    const following = daemon(bed.context, { ...call({ follow: true }), verb: ["daemon", "logs"] });
    await bed.heard(/tail/);
    // Whoever lost the line before it hears this one.
    const later = setInterval(() => write("later"), 50);
    await bed.heard(/between|later/);
    clearInterval(later);
    bed.interrupts.abort(new RumError("interrupted", "Interrupted by Ctrl+C"));
    assert.equal(await following, 0);
    assert.equal(bed.said.join("").match(/between/g)?.length, 1, bed.said.join(""));
  },
);

daemonTest("daemon stop ends a daemon that is only just starting", async () => {
  await using bed = new Bed();
  await bed.make();
  const [program, ...args] = bed.command("700");
  const starting = new Deno.Command(program, { args, stdout: "null", stderr: "null" }).spawn();
  while (await livingHolder(bed.paths.lock) === undefined) await bed.soon();
  const stopping = daemon(bed.context, { ...call({}), verb: ["daemon", "stop"] });
  const late = new Promise((_, reject) => setTimeout(() => reject(new Error("it runs")), 20_000));
  assert.equal(await Promise.race([stopping, late]), 0);
  assert.match(bed.said.join(""), /has ended/);
  assert.equal((await starting.status).code, 0);
});
