/**
 * Whoever holds the flock of a machine's lock file is its controller; nobody changes a machine
 * without it (SPEC section 6). The kernel frees it however the holder dies, so it can be neither
 * stale nor forgotten. Lock files are never unlinked: with an unlinked one two processes could each
 * hold "the" lock, on two inodes.
 *
 * The file's content says who holds it, for people and for `busy` answers. It is only a label: it
 * may outlive its writer, so it counts only while the process with that pid, that start time and
 * that boot still lives. A reused pid is never taken for the holder.
 */
import { RumError } from "../base/errors.ts";
import { type Clock, systemClock } from "../base/clock.ts";
import { backOffMs } from "../base/schedule.ts";
import { checkOwnFile, fileError, isStill, openOwnFile, readOwnFile } from "./ownership.ts";

export interface LockHolder {
  readonly pid: number;
  /** Field 22 of /proc/<pid>/stat: clock ticks since boot. With the boot id it names one process. */
  readonly start_time: number;
  readonly boot_id: string;
  readonly role: "daemon" | "one-shot";
  readonly operation: string;
  /** ISO 8601. */
  readonly since: string;
  /** ISO 8601; null for a holder that stays (the daemon between operations). */
  readonly deadline: string | null;
}

export interface LockHandle extends AsyncDisposable {
  readonly path: string;
  readonly holder: LockHolder;
  /** Rewrites the label: what is being done now, until when. */
  relabel(change: { operation: string; deadline: string | null }): Promise<void>;
  /** Idempotent, never throws. */
  release(): Promise<void>;
}

export interface HolderInput {
  readonly role: LockHolder["role"];
  readonly operation: string;
  readonly deadlineMs?: number;
  readonly clock?: Clock;
}

/** This process as a holder. */
export async function describeHolder(input: HolderInput): Promise<LockHolder> {
  const now = (input.clock ?? systemClock).now();
  const self = await processIdentity(Deno.pid);
  return {
    pid: Deno.pid,
    start_time: self?.start_time ?? 0,
    boot_id: await bootId(),
    role: input.role,
    operation: input.operation,
    since: now.toISOString(),
    deadline: input.deadlineMs === undefined
      ? null
      : new Date(now.getTime() + input.deadlineMs).toISOString(),
  };
}

/** Takes the lock if it is free; undefined when somebody has it. */
export async function tryFlock(path: string, holder: LockHolder): Promise<LockHandle | undefined> {
  for (let attempt = 0; attempt < 8; attempt++) {
    const file = await openLockFile(path);
    let taken = false;
    try {
      if (!await file.tryLock(true)) return undefined;
      // Somebody may have removed the file by hand between open and lock; then the name leads to
      // another inode, and this lock would exclude nobody.
      if (await isStill(path, file)) {
        taken = true;
        return await lockHandle(path, file, holder);
      }
    } catch (error) {
      throw fileError(error, `Cannot lock "${path}"`);
    } finally {
      if (!taken) file.close();
    }
  }
  throw new RumError(
    "state_invalid",
    `Cannot lock "${path}": the file is being replaced all the time`,
  );
}

async function openLockFile(path: string): Promise<Deno.FsFile> {
  for (let attempt = 0; attempt < 8; attempt++) {
    const file = await openOwnFile(path, { write: true });
    if (file !== undefined) return file;
    try {
      return await Deno.open(path, { read: true, write: true, createNew: true, mode: 0o600 });
    } catch (error) {
      if (!(error instanceof Deno.errors.AlreadyExists)) {
        throw fileError(error, `Cannot make the lock file "${path}"`);
      }
      await checkOwnFile(path);
    }
  }
  throw new RumError("state_invalid", `Cannot open the lock file "${path}": it comes and goes`);
}

async function lockHandle(
  path: string,
  file: Deno.FsFile,
  initial: LockHolder,
): Promise<LockHandle> {
  let holder = initial;
  let released = false;
  // The label is advisory: a full disk must not keep anyone from stopping or destroying a machine.
  const write = (content: string) => label(file, content).catch(() => {});
  await write(JSON.stringify(holder) + "\n");
  const handle: LockHandle = {
    path,
    get holder() {
      return holder;
    },
    async relabel(change) {
      if (released) return;
      holder = { ...holder, ...change };
      await write(JSON.stringify(holder) + "\n");
    },
    async release() {
      if (released) return;
      released = true;
      await write("");
      try {
        file.close();
      } catch {
        // Closed already: the lock is gone all the same.
      }
    },
    [Symbol.asyncDispose]: () => handle.release(),
  };
  return handle;
}

async function label(file: Deno.FsFile, content: string): Promise<void> {
  const bytes = new TextEncoder().encode(content);
  await file.truncate(0);
  await file.seek(0, Deno.SeekMode.Start);
  for (let at = 0; at < bytes.length;) at += await file.write(bytes.subarray(at));
}

export interface FlockOptions {
  readonly holder: LockHolder;
  readonly deadlineMs: number;
  readonly signal?: AbortSignal;
  readonly clock?: Clock;
  /** Told once per holder that is waited for. */
  readonly onWait?: (holder: LockHolder | undefined) => void;
}

/**
 * Runs `fn` under the lock.
 *
 * @throws {RumError} `busy` with the holder in `data` when the lock was not free by the deadline
 */
export async function withFlock<T>(
  path: string,
  options: FlockOptions,
  fn: (lock: LockHandle) => Promise<T>,
): Promise<T> {
  await using lock = await waitForFlock(path, options);
  return await fn(lock);
}

/** As `withFlock`, but the caller owns the handle. */
export async function waitForFlock(path: string, options: FlockOptions): Promise<LockHandle> {
  const { holder, deadlineMs, signal, onWait } = options;
  const clock = options.clock ?? systemClock;
  const end = clock.monotonicMs() + deadlineMs;
  let told: string | undefined;
  // Polling, because a pending blocking flock(2) can be neither cancelled nor given a deadline.
  for (let attempt = 1;; attempt++) {
    signal?.throwIfAborted();
    const lock = await tryFlock(path, holder);
    if (lock !== undefined) return lock;
    const current = await readHolder(path);
    const left = end - clock.monotonicMs();
    if (left <= 0) throw busyError(current);
    const who = current === undefined ? "" : `${current.pid} ${current.operation}`;
    if (who !== told) {
      told = who;
      onWait?.(current);
    }
    const pauseMs = backOffMs({ kind: "exponential", firstMs: 10, maxMs: 200 }, attempt);
    await clock.sleep(Math.min(pauseMs, left), { signal });
  }
}

export function busyError(holder: LockHolder | undefined): RumError {
  if (holder === undefined) {
    return new RumError("busy", "Another rum process holds the machine, and did not say for what", {
      hint: "rum status",
    });
  }
  return new RumError(
    "busy",
    `Another rum process (pid ${holder.pid}) holds the machine for "${holder.operation}" ` +
      `since ${holder.since}`,
    { hint: "rum status", data: { holder } },
  );
}

/** Who the lock file says has it; undefined when it says nothing readable. Check `isHolderAlive`. */
export async function readHolder(path: string): Promise<LockHolder | undefined> {
  const text = await readOwnFile(path, { maxBytes: 64 * 1024 });
  return text === undefined ? undefined : parseHolder(text);
}

export function parseHolder(text: string): LockHolder | undefined {
  let value: Partial<Record<keyof LockHolder, unknown>>;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (typeof value !== "object" || value === null) return undefined;
  const { pid, start_time, boot_id, role, operation, since, deadline } = value;
  const valid = Number.isSafeInteger(pid) && (pid as number) > 0 &&
    Number.isSafeInteger(start_time) && typeof boot_id === "string" &&
    (role === "daemon" || role === "one-shot") && typeof operation === "string" &&
    typeof since === "string" && (deadline === null || typeof deadline === "string");
  return valid
    ? { pid, start_time, boot_id, role, operation, since, deadline } as LockHolder
    : undefined;
}

/** Names one process of one boot; pids alone are reused. */
export interface ProcessIdentity {
  readonly pid: number;
  readonly start_time: number;
  readonly boot_id: string;
}

/** Does the very process live that is named here? A zombie does not. */
export async function isHolderAlive(named: ProcessIdentity): Promise<boolean> {
  if (named.boot_id !== await bootId()) return false;
  const found = await processIdentity(named.pid);
  return found !== undefined && !found.zombie && found.start_time === named.start_time;
}

/** What runs under `pid` now; undefined when nothing does. */
export async function processIdentity(
  pid: number,
): Promise<{ start_time: number; zombie: boolean } | undefined> {
  let stat: string;
  try {
    stat = await Deno.readTextFile(`/proc/${pid}/stat`);
  } catch {
    return undefined;
  }
  // The name in field 2 may hold anything, spaces and brackets included: count from its end.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const startTime = Number(fields[19]);
  if (!Number.isSafeInteger(startTime)) return undefined;
  return { start_time: startTime, zombie: fields[0] === "Z" || fields[0] === "X" };
}

export async function bootId(): Promise<string> {
  return (await Deno.readTextFile("/proc/sys/kernel/random/boot_id")).trim();
}
