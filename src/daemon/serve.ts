/**
 * A daemon's whole life, with the machine's own logic handed in (`compose`).
 *
 *   lock → token, log → compose (reconciles with the hypervisor) → publish → ready
 *     │                                                               │
 *     └ held by another: says so on stdout, ends          release, TERM, INT, ended, self-check
 *                                                                     │
 *   process ends ◄ lock freed ◄ names removed ◄ drain 2 s ◄ stop accepting ◄ composition released
 *
 * `shuttingDown` is aborted once and never taken back. Every way out passes `finish`, and none of
 * them stops the machine: that is `down`, another word.
 */
import { type Clock, systemClock } from "../base/clock.ts";
import { withDeadline } from "../base/deadline.ts";
import { errorDocument, EXIT, RumError, toRumError } from "../base/errors.ts";
import { VERSION } from "../base/version.ts";
import { faultPoint } from "../base/fault.ts";
import type { MachinePaths } from "../plan/paths.ts";
import { DAEMON_PROTOCOL, type Readiness } from "../protocol/daemon.ts";
import { object } from "../protocol/shape.ts";
import { method, type MethodTable } from "../wire/rpc_types.ts";
import {
  type DaemonRecord,
  describeDaemon,
  removeDaemonRecord,
  writeDaemonRecord,
} from "../store/daemon_record.ts";
import {
  describeHolder,
  type LockHandle,
  type LockHolder,
  readHolder,
  tryFlock,
} from "../store/flock.ts";
import { folderMode, hasMachineFolder } from "../store/machine_folder.ts";
import { ensureOwnFolder } from "../store/ownership.ts";
import { buildName } from "./client.ts";
import { DaemonLog } from "./daemon_log.ts";
import { keepLean } from "./give_back.ts";
import type { LineHandlers } from "./line_protocol.ts";
import { notifyReady } from "./notify.ts";
import { type Published, publishSocket } from "./publish.ts";
import { selfCheck } from "./self_check.ts";
import { DaemonServer } from "./server.ts";
import { ensureToken } from "./token.ts";

/** What the machine's logic gets to know of the process around it. */
export interface DaemonHost {
  readonly id: string;
  readonly paths: MachinePaths;
  readonly lock: LockHandle;
  readonly startedAt: string;
  /** Monotonic, whole: it is published. */
  uptimeMs(): number;
  /** Aborted when a release began; never taken back. */
  readonly shuttingDown: AbortSignal;
  requestRelease(reason: string): void;
  log(text: string): void;
}

/** The machine's logic: what the daemon serves. `ping` and `release` are the daemon's own. */
export interface Composition {
  readonly methods: MethodTable;
  readonly lines: Omit<LineHandlers, "ping" | "release">;
  readonly capabilities?: readonly string[];
  configHash?(): string | undefined;
  /** The machine is being destroyed, or is gone: its folder is no place to move into. */
  leaving?(): boolean;
  /** Resolves when there is nothing left to be a daemon for. */
  readonly ended: Promise<void>;
  /** Lets the machine go as it is. Bounded by 30 s from outside. */
  release(): Promise<void>;
}

export interface ServeOptions {
  readonly id: string;
  readonly paths: MachinePaths;
  readonly compose: (host: DaemonHost) => Promise<Composition>;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly lock?: (path: string, holder: LockHolder) => Promise<LockHandle | undefined>;
  readonly clock?: Clock;
  readonly selfCheckMs?: number;
}

const RELEASE_MS = 30_000;
/** Between the folder's end and the word that the work is done. */
const DONE_MS = 5000;

/** For the launcher: no failure, and the next daemon finds another machine. */
const DONE = new RumError(
  "shutting_down",
  "What was left to do was done before it could be reached",
);

/** Is the daemon; resolves with the process's exit code, after which the process must exit. */
export async function serve(options: ServeOptions): Promise<number> {
  const { paths, id } = options;
  Deno.umask(0o077);
  Deno.chdir("/");
  try {
    await ensureOwnFolder(paths.lock.slice(0, paths.lock.lastIndexOf("/")));
    const take = options.lock ?? tryFlock;
    const holder = await describeHolder({ role: "daemon", operation: "starting" });
    const lock = await take(paths.lock, holder);
    if (lock === undefined) {
      say({ ready: false, already: { ...await readHolder(paths.lock) } });
      return EXIT.busy;
    }
    await using _lock = lock;
    await faultPoint("serve.locked");
    // Not before: whoever held the lock until now may have been taking the folder away.
    await ensureOwnFolder(paths.folder, { mode: folderMode() });
    await ensureOwnFolder(paths.logs);
    const log = new DaemonLog(paths.daemonLog);
    try {
      log.line(`rum ${VERSION} (${buildName()}), process ${Deno.pid}, machine ${id}`);
      return await new Daemon(options, lock, log).run();
    } catch (thrown) {
      log.line(`Cannot start: ${toRumError(thrown).message}`);
      if (toRumError(thrown).code === "internal") log.line(String((thrown as Error).stack));
      throw thrown;
    } finally {
      log.close();
    }
  } catch (thrown) {
    const error = toRumError(thrown);
    say({ ready: false, error: errorDocument(error) });
    return error.exitCode;
  }
}

class Daemon {
  readonly #options: ServeOptions;
  readonly #lock: LockHandle;
  readonly #log: DaemonLog;
  readonly #shuttingDown = new AbortController();
  readonly #startedAt: string;
  readonly #startedMs: number;
  readonly #clock: Clock;
  #record?: DaemonRecord;

  constructor(options: ServeOptions, lock: LockHandle, log: DaemonLog) {
    this.#options = options;
    this.#lock = lock;
    this.#log = log;
    this.#clock = options.clock ?? systemClock;
    this.#startedAt = this.#clock.now().toISOString();
    this.#startedMs = this.#clock.monotonicMs();
  }

  async run(): Promise<number> {
    using _signals = this.#listenToSignals();
    void keepLean({ signal: this.#shuttingDown.signal });
    const { id, paths, compose } = this.#options;
    const token = await ensureToken(paths.daemonToken);
    const composition = await compose({
      id,
      paths,
      lock: this.#lock,
      startedAt: this.#startedAt,
      uptimeMs: () => this.#uptimeMs(),
      shuttingDown: this.#shuttingDown.signal,
      requestRelease: (reason) => this.#release(reason),
      log: (text) => this.#log.line(text),
    });
    const server = this.#server(composition, token);
    await faultPoint("serve.composed");
    let published: Published | undefined;
    const checked = new AbortController();
    try {
      published = await publishSocket(paths);
      server.listen(published.listener, published.boundPath);
      await this.#announce();
      const lost = selfCheck({
        folder: paths.folder,
        socket: paths.socket,
        stillOurs: published.stillOurs,
        signal: checked.signal,
        everyMs: this.#options.selfCheckMs,
      });
      await Promise.race([
        aborted(this.#shuttingDown.signal),
        composition.ended.then(() => this.#release("the machine's work is done")),
        lost.then((reason) => reason === undefined ? never() : this.#release(reason)),
      ]);
    } catch (thrown) {
      const reason = await this.#isDone(composition) ? DONE : toRumError(thrown);
      this.#release(`it cannot go on: ${reason.message}`);
      throw reason;
    } finally {
      checked.abort();
      await this.#finish(composition, server, published);
    }
    return EXIT.ok;
  }

  /**
   * A destroy that was cut short is ended first thing, and may take the folder while we move in: all of
   * it, or only the file that we were at, with the rest still to go.
   */
  async #isDone(composition: Composition): Promise<boolean> {
    const leaving = composition.leaving?.() === true;
    if (!leaving && await hasMachineFolder(this.#options.paths)) return false;
    return await Promise.race([
      composition.ended.then(() => true),
      this.#clock.sleep(leaving ? RELEASE_MS : DONE_MS).then(() => false),
    ]);
  }

  #server(composition: Composition, token: string): DaemonServer {
    const ping = () => ({
      version: VERSION,
      pid: Deno.pid,
      uptime_ms: this.#uptimeMs(),
    });
    const release = (why: string) => {
      this.#release(why);
      return { releasing: true, pid: Deno.pid };
    };
    return new DaemonServer({
      info: {
        version: VERSION,
        build: buildName(),
        capabilities: composition.capabilities ?? [],
        configHash: () => composition.configHash?.(),
      },
      methods: {
        ...composition.methods,
        ping: method({ params: object({}), kind: "read", handle: ping }),
        release: method({
          params: object({}),
          kind: "read",
          handle: () => release("a client asked for it"),
        }),
      },
      lines: { ...composition.lines, ping, release: () => release("asked by the line protocol") },
      token: () => Promise.resolve(token),
      shuttingDown: this.#shuttingDown.signal,
      log: (text) => this.#log.line(text),
    });
  }

  /** After lock and bind, so that whoever reads any of it finds a daemon. */
  async #announce(): Promise<void> {
    const { paths, env } = this.#options;
    this.#record = await describeDaemon({
      version: VERSION,
      protocol: DAEMON_PROTOCOL,
      socket: paths.socket,
      startedAt: this.#startedAt,
    });
    await writeDaemonRecord(paths, this.#record);
    await faultPoint("announce.recorded");
    await this.#lock.relabel({ operation: "serving", deadline: null });
    say({ ready: true, pid: Deno.pid, socket: paths.socket });
    await faultPoint("announce.told");
    notifyReady(env.NOTIFY_SOCKET);
    this.#log.redirect();
    this.#log.line(`Ready at ${paths.socket} after ${this.#uptimeMs()} ms`);
  }

  #release(reason: string): void {
    if (this.#shuttingDown.signal.aborted) return;
    this.#log.line(`Releasing the machine: ${reason}`);
    this.#shuttingDown.abort(
      new RumError("shutting_down", "The daemon is ending and takes no new work"),
    );
  }

  /** The one way out. Each step is bounded, and a failing one keeps no other from being taken. */
  async #finish(
    composition: Composition,
    server: DaemonServer,
    published: Published | undefined,
  ): Promise<void> {
    try {
      await withDeadline(
        { waitingFor: "Letting go of the machine", timeoutMs: RELEASE_MS },
        () => composition.release(),
      );
    } catch (thrown) {
      this.#log.line(`Letting go of the machine failed: ${toRumError(thrown).message}`);
    }
    await faultPoint("finish.released");
    await server.stopAccepting();
    await server.drain();
    await published?.remove();
    await faultPoint("finish.removed");
    if (this.#record !== undefined) await removeDaemonRecord(this.#options.paths, this.#record);
    this.#log.line("Ended; the machine is left as it is");
  }

  #uptimeMs(): number {
    return Math.round(this.#clock.monotonicMs() - this.#startedMs);
  }

  #listenToSignals(): Disposable {
    const on: [Deno.Signal, () => void][] = [
      ["SIGTERM", () => this.#release("TERM")],
      ["SIGINT", () => this.#release("INT")],
      ["SIGHUP", () => {
        this.#log.reopen();
        this.#log.line("Log reopened");
      }],
    ];
    for (const [name, listener] of on) Deno.addSignalListener(name, listener);
    // A defect in one corner must not take the machine's only controller away.
    const onDefect = (event: PromiseRejectionEvent) => {
      event.preventDefault();
      this.#log.line(`A defect: ${event.reason?.stack ?? event.reason}`);
    };
    globalThis.addEventListener("unhandledrejection", onDefect);
    return {
      [Symbol.dispose]: () => {
        for (const [name, listener] of on) Deno.removeSignalListener(name, listener);
        globalThis.removeEventListener("unhandledrejection", onDefect);
      },
    };
  }
}

/** To whoever started us; they may be gone by now. */
function say(readiness: Readiness): void {
  try {
    const bytes = new TextEncoder().encode(JSON.stringify(readiness) + "\n");
    for (let at = 0; at < bytes.length;) at += Deno.stdout.writeSync(bytes.subarray(at));
  } catch {
    // The one who waits reads the log, or connects.
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve();
    signal.addEventListener("abort", () => resolve(), { once: true });
  });
}

function never(): Promise<never> {
  return new Promise(() => {});
}
