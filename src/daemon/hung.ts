/**
 * Ending a daemon that holds the lock and does not answer. Only `up`, `down` and `destroy` may, and
 * only after 10 s. Whom to signal is what the lock file names, verified by start time and boot id
 * right before each signal, so that a reused pid is never hit. TERM, 5 s, KILL (which ends a stopped
 * process too), once.
 */
import { type Clock, systemClock } from "../base/clock.ts";
import { RumError } from "../base/errors.ts";
import type { MachinePaths } from "../plan/paths.ts";
import { describeHolder, isHolderAlive, type LockHolder, tryFlock } from "../store/flock.ts";
import { livingHolder } from "./probe.ts";

export interface EndHungOptions {
  readonly signal?: AbortSignal;
  readonly termMs?: number;
  readonly killMs?: number;
  readonly clock?: Clock;
  /** Told before each signal. */
  readonly note?: (text: string) => void;
}

const POLL_MS = 50;

/** @throws {RumError} `daemon_hung` when it outlives KILL, or cannot be named */
export async function endHungDaemon(
  paths: Pick<MachinePaths, "lock">,
  options: EndHungOptions = {},
): Promise<void> {
  const { termMs = 5000, killMs = 5000, clock = systemClock, note, signal } = options;
  const self = await describeHolder({ role: "one-shot", operation: "end a hung daemon" });
  let holder: LockHolder | undefined;
  for (const end = clock.monotonicMs() + termMs;;) {
    const free = await tryFlock(paths.lock, self);
    if (free !== undefined) return await free.release();
    holder = await livingHolder(paths.lock);
    if (holder !== undefined) break;
    // Nameless for a moment: it has just let go, or another has just taken it.
    if (clock.monotonicMs() >= end) {
      throw new RumError(
        "daemon_hung",
        `Cannot end the background process: "${paths.lock}" is held and does not say by whom`,
        { hint: `fuser -v ${paths.lock}` },
      );
    }
    await clock.sleep(POLL_MS, { signal });
  }
  const gone = async (ms: number) => {
    const end = clock.monotonicMs() + ms;
    while (await isHolderAlive(holder)) {
      if (clock.monotonicMs() >= end) return false;
      await clock.sleep(POLL_MS, { signal });
    }
    return true;
  };
  note?.(`Ending the background process ${holder.pid}, which does not answer`);
  if (await tell(holder, "SIGTERM") && await gone(termMs)) return;
  if (await tell(holder, "SIGKILL") && await gone(killMs)) return;
  if (!await isHolderAlive(holder)) return;
  throw new RumError(
    "daemon_hung",
    `The background process ${holder.pid} does not end, not even by KILL; ` +
      `it holds the machine for "${holder.operation}" since ${holder.since}`,
    { hint: `ps -o pid,stat,wchan,cmd -p ${holder.pid}`, data: { holder } },
  );
}

/** True when the signal was sent, or the process is gone already. */
async function tell(holder: LockHolder, name: "SIGTERM" | "SIGKILL"): Promise<boolean> {
  if (!await isHolderAlive(holder)) return true;
  try {
    Deno.kill(holder.pid, name);
    return true;
  } catch (thrown) {
    if (thrown instanceof Deno.errors.NotFound) return true;
    throw new RumError("not_owner", `Cannot end the background process ${holder.pid}`, {
      cause: thrown,
    });
  }
}
