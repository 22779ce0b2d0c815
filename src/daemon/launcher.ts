/**
 * "There is a daemon, and here is a connection to it": the one way in for every command that needs
 * one. Looks first, starts only when nobody holds the machine's lock, and then lets the lock decide:
 * of twenty launchers at once each may start a process, one of these gets the lock, the others say
 * "already" and end, and all twenty connect to the one.
 *
 *   connect ── welcome ───────────────────────────────► connected
 *     │ nobody listens, lock free ──► start one ──────► connect again
 *     │ nobody listens, lock held ──► wait for the holder (it starts, ends, or is a one-shot `down`)
 *     │ listens, no welcome ────────► hung: after 10 s ended, where the caller may do that
 *     └ another protocol ───────────► released by the line protocol, where the caller agrees
 */
import { type Clock, systemClock } from "../base/clock.ts";
import { linkedAbort, withDeadline } from "../base/deadline.ts";
import { errorFromDocument, RumError, toRumError } from "../base/errors.ts";
import type { MachinePaths } from "../plan/paths.ts";
import { busyError, type LockHolder } from "../store/flock.ts";
import { askLine } from "./ask_line.ts";
import { logTail } from "./daemon_log.ts";
import { buildName, connectDaemon, type DaemonClient } from "./client.ts";
import { VERSION } from "../base/version.ts";
import { hungError, unreachable } from "./ask_line.ts";
import { endHungDaemon } from "./hung.ts";
import { livingHolder } from "./probe.ts";
import { selfCommand } from "./self_command.ts";
import { spawnDaemon, type SpawnOptions, systemdRunDaemon } from "./spawn.ts";

export interface EnsureOptions {
  readonly id: string;
  readonly paths: MachinePaths;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly signal?: AbortSignal;
  /** The caller's own time for the whole of it: past it, `timeout`. */
  readonly timeoutMs?: number;
  /** `up`, `down` and `destroy` may end a daemon that does not answer. */
  readonly mayEndHung?: boolean;
  /** May a daemon of another protocol be sent away? Absent = no, refused with a hint. */
  readonly onOtherVersion?: (refusal: RumError) => Promise<boolean>;
  /** For stderr: what was noticed on the way. */
  readonly note?: (text: string) => void;
  /** What to start; tests hand in their own daemon. */
  readonly command?: readonly string[];
  readonly clock?: Clock;
}

/** Without a time of the caller's own. */
const PATIENCE_MS = 60_000;
const START_MS = 30_000;
const HUNG_MS = 10_000;
const POLL_MS = 50;
const PING_MS = 3000;
const STARTS_MAX = 3;
const CLOSED_MAX = 2;

/**
 * A daemon that ends, or is stopped, may still have said welcome. While nothing was asked of it, that
 * is no failure of what the caller wants: one answered ping, and there is a daemon.
 */
async function settled(client: DaemonClient, socket: string, signal?: AbortSignal): Promise<void> {
  try {
    await withDeadline(
      { waitingFor: "The daemon's first answer", timeoutMs: PING_MS, signal },
      () => client.request("ping", {}),
    );
  } catch (cause) {
    await client.close();
    if (signal?.aborted) throw signal.reason;
    switch (toRumError(cause).code) {
      case "timeout":
        throw hungError(socket, PING_MS);
      case "daemon_failed":
        throw unreachable(socket, "closed", cause);
      default:
        throw cause;
    }
  }
}

/**
 * @throws {RumError} `daemon_failed`, `daemon_hung`, `busy`, `version_mismatch`; `timeout` (with
 *   `data.holder`, where somebody holds the machine) when the caller's own time was over first
 */
export async function ensureDaemon(options: EnsureOptions): Promise<DaemonClient> {
  const { paths, signal, timeoutMs, clock = systemClock } = options;
  if (timeoutMs === undefined) return await reach(options);
  signal?.throwIfAborted();
  // Every wait on the way hears of it: the first hello alone would take longer than a short time.
  using late = linkedAbort(signal);
  const over = new AbortController();
  clock.sleep(timeoutMs, { signal: over.signal }).then(
    () => late.abort(tookTooLong(timeoutMs)),
    () => {},
  );
  try {
    return await reach({ ...options, signal: late.signal });
  } catch (thrown) {
    if (!late.signal.aborted || signal?.aborted) throw thrown;
    throw tookTooLong(timeoutMs, await livingHolder(paths.lock));
  } finally {
    over.abort();
  }
}

function tookTooLong(timeoutMs: number, holder?: LockHolder): RumError {
  const by = holder === undefined
    ? ""
    : `: process ${holder.pid} holds it for "${holder.operation}" since ${holder.since}`;
  return new RumError(
    "timeout",
    `Connecting to the machine's background process took longer than ${timeoutMs / 1000} s${by}`,
    { hint: "rum status", data: { timeout_ms: timeoutMs, ...(holder ? { holder } : {}) } },
  );
}

async function reach(options: EnsureOptions): Promise<DaemonClient> {
  const { paths, signal, note, clock = systemClock } = options;
  const end = options.timeoutMs === undefined ? clock.monotonicMs() + PATIENCE_MS : Infinity;
  const state: Progress = { endedHung: false, released: false, starts: 0, closed: 0 };
  for (;;) {
    signal?.throwIfAborted();
    try {
      const client = await connectDaemon(paths, { signal });
      await settled(client, paths.socket, signal);
      if (client.welcome.build !== buildName() || client.welcome.version !== VERSION) {
        note?.(
          `The machine's background process is rum ${client.welcome.version} ` +
            `(${client.welcome.build}), this is ${VERSION} (${buildName()})`,
        );
      }
      return client;
    } catch (thrown) {
      await resolveRefusal(toRumError(thrown), options, state, clock);
    }
    if (clock.monotonicMs() >= end) {
      const holder = await livingHolder(paths.lock);
      if (holder !== undefined) throw busyError(holder);
      throw new RumError(
        "timeout",
        `Connecting to the machine's background process took longer than ${PATIENCE_MS / 1000} s`,
        { hint: `less ${paths.daemonLog}` },
      );
    }
  }
}

interface Progress {
  hungSince?: number;
  /** Whom we wait for, and since when. */
  waitingFor?: { readonly pid: number; readonly since: number };
  endedHung: boolean;
  released: boolean;
  /** Daemons that said they are ready and could not be reached afterwards. */
  starts: number;
  /** How often in a row it was closed at once by who does not hold the lock. */
  closed: number;
}

/** One step towards a connection; throws when there is none to be taken. */
async function resolveRefusal(
  error: RumError,
  options: EnsureOptions,
  state: Progress,
  clock: Clock,
): Promise<void> {
  const { paths, signal } = options;
  switch (error.code) {
    case "daemon_hung":
      return await whenHung(error, options, state, clock);
    case "version_mismatch":
      return await whenOtherVersion(error, options, state);
    case "unauthorized":
      // Without a holder it is no daemon of this machine: whoever starts refuses what listens there.
      if ((await livingHolder(paths.lock))?.role === "daemon") throw error;
      break;
    case "busy":
    case "shutting_down":
    case "daemon_unreachable":
      break;
    default:
      throw error;
  }
  state.hungSince = undefined;
  const holder = await livingHolder(paths.lock);
  if (holder === undefined && error.code !== "busy") {
    // A daemon on its way out closes at once, and is gone soon; what goes on doing that is none.
    state.closed = error.data?.kind === "closed" ? state.closed + 1 : 0;
    if (state.closed === 0 || state.closed > CLOSED_MAX) return await start(options, state, clock);
  } else state.closed = 0;
  if (holder !== undefined) {
    if (state.waitingFor?.pid !== holder.pid) {
      state.waitingFor = { pid: holder.pid, since: clock.monotonicMs() };
      if (holder.role === "one-shot") {
        options.note?.(`Waiting for process ${holder.pid} (${holder.operation})`);
      }
    }
    const waited = clock.monotonicMs() - state.waitingFor.since;
    // A daemon that holds the lock and has published nothing for so long does not start any more.
    if (holder.role === "daemon" && waited > START_MS) {
      return await whenHung(error, options, { ...state, hungSince: -Infinity }, clock);
    }
  }
  await clock.sleep(POLL_MS + Math.random() * POLL_MS, { signal });
}

async function whenHung(
  error: RumError,
  options: EnsureOptions,
  state: Progress,
  clock: Clock,
): Promise<void> {
  const { mayEndHung = false, paths, note, signal } = options;
  // Silent, and not the machine's holder: whoever starts finds out what it is and refuses it.
  if (await livingHolder(paths.lock) === undefined) return await start(options, state, clock);
  if (!mayEndHung || state.endedHung) throw error;
  // The failed attempt to connect took its 3 s before we learned of it.
  state.hungSince ??= clock.monotonicMs() - 3000;
  if (clock.monotonicMs() - state.hungSince < HUNG_MS) return;
  state.endedHung = true;
  await endHungDaemon(paths, { signal, note, clock });
}

async function whenOtherVersion(
  error: RumError,
  options: EnsureOptions,
  state: Progress,
): Promise<void> {
  const { onOtherVersion, paths, signal } = options;
  if (state.released) throw error;
  if (onOtherVersion === undefined || !await onOtherVersion(error)) {
    throw new RumError("version_mismatch", error.message, {
      hint: "rum daemon restart (the machine runs on)",
      cause: error,
      data: error.data,
    });
  }
  try {
    await askLine(paths, "release", { timeoutMs: 3000, signal });
    state.released = true;
  } catch (thrown) {
    // It ended by itself, maybe while the user was thinking: the next look finds what is there now.
    if (toRumError(thrown).code !== "daemon_unreachable") throw thrown;
  }
}

async function start(options: EnsureOptions, state: Progress, clock: Clock): Promise<void> {
  const { id, paths, env, signal } = options;
  if (state.starts >= STARTS_MAX) {
    const tail = await logTail(paths.daemonLog, 5);
    throw new RumError(
      "daemon_failed",
      `The machine's background process was started ${state.starts} times and ended each time ` +
        `before it could be reached; its log ends with: ${tail.join(" | ")}`,
      { hint: `less ${paths.daemonLog}` },
    );
  }
  const command = options.command ?? selfCommand(["up", "--serve", id]);
  const spawning: SpawnOptions = { id, paths, command, env, signal, timeoutMs: START_MS };
  const causes: RumError[] = [];
  const ways = env.RUM_LAUNCH === "systemd" ? [bySystemd, bySpawn] : [bySpawn, bySystemd];
  for (const way of ways) {
    try {
      if (await way(spawning, clock)) state.starts++;
      return;
    } catch (thrown) {
      const error = toRumError(thrown);
      // It started and refused with its own sentence: another way to start it changes nothing.
      if (signal?.aborted || error.data?.said === true) throw error;
      causes.push(error);
    }
  }
  throw new RumError(
    "daemon_failed",
    `Cannot start the machine's background process: ${
      causes.map((cause) => cause.message).join("; then: ")
    }. Its log is ${paths.daemonLog}`,
    { hint: `rum up --serve ${id}`, cause: causes[0] },
  );
}

/** True when this very call started one. */
async function bySpawn(options: SpawnOptions, clock: Clock): Promise<boolean> {
  const readiness = await spawnDaemon(options);
  if (readiness.ready) return true;
  if ("error" in readiness) {
    const error = errorFromDocument(readiness.error);
    // It found something to end, ended it, and its own place with it.
    if (error.code === "shutting_down") return true;
    throw new RumError(error.code, error.message, {
      hint: error.hint,
      data: { ...error.data, said: true },
    });
  }
  // Somebody was faster. They may not listen yet.
  await clock.sleep(POLL_MS, { signal: options.signal });
  return false;
}

async function bySystemd(options: SpawnOptions): Promise<boolean> {
  await systemdRunDaemon(options);
  return true;
}
