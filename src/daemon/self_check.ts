/**
 * Every 5 s a daemon looks whether it can still be found: its socket's name must be its own socket
 * and the machine's folder must be there. A daemon that nobody can reach would hold the lock for
 * ever, so it ends, and leaves the machine as it is.
 */
import { type Clock, systemClock } from "../base/clock.ts";

export interface SelfCheckOptions {
  readonly folder: string;
  readonly socket: string;
  stillOurs(): Promise<boolean>;
  readonly signal: AbortSignal;
  readonly everyMs?: number;
  readonly clock?: Clock;
}

/** Resolves with the reason once something is wrong; undefined when the signal ended the check. */
export async function selfCheck(options: SelfCheckOptions): Promise<string | undefined> {
  const { signal, everyMs = 5000, clock = systemClock } = options;
  while (!signal.aborted) {
    try {
      await clock.sleep(everyMs, { signal });
    } catch {
      return undefined;
    }
    const reason = await whatIsWrong(options);
    if (reason !== undefined) return signal.aborted ? undefined : reason;
  }
  return undefined;
}

async function whatIsWrong(options: SelfCheckOptions): Promise<string | undefined> {
  try {
    const folder = await Deno.lstat(options.folder);
    if (!folder.isDirectory) return `"${options.folder}" is no folder any more`;
  } catch (thrown) {
    if (thrown instanceof Deno.errors.NotFound) return `the folder "${options.folder}" is gone`;
    // Anything else may pass (a full file table); the next look decides.
    return undefined;
  }
  try {
    if (await options.stillOurs()) return undefined;
  } catch {
    return undefined;
  }
  return `"${options.socket}" is gone or not our socket any more`;
}
