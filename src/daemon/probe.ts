/**
 * Is there a daemon, and does it answer? Looks and asks; changes nothing and starts nothing.
 *
 *   running  it answered `status`
 *   busy     somebody holds the lock and no daemon listens: one starts, ends, or `down` runs alone
 *   hung     somebody listens, or should, and does not answer within 3 s
 *   absent   nobody holds the lock; what stands in the folder is what a dead daemon left
 */
import { RumError } from "../base/errors.ts";
import type { MachinePaths } from "../plan/paths.ts";
import { isHolderAlive, type LockHolder, readHolder } from "../store/flock.ts";
import { askLine } from "./ask_line.ts";

export type DaemonState =
  | { readonly kind: "running"; readonly status: Readonly<Record<string, unknown>> }
  | { readonly kind: "busy"; readonly holder: LockHolder }
  | { readonly kind: "hung"; readonly holder?: LockHolder }
  | { readonly kind: "absent" };

export async function probeDaemon(
  paths: Pick<MachinePaths, "socket" | "lock">,
  options: { readonly timeoutMs?: number; readonly signal?: AbortSignal } = {},
): Promise<DaemonState> {
  const { timeoutMs = 3000, signal } = options;
  try {
    return { kind: "running", status: await askLine(paths, "status", { timeoutMs, signal }) };
  } catch (thrown) {
    if (!(thrown instanceof RumError)) throw thrown;
    const holder = await livingHolder(paths.lock);
    if (thrown.code === "daemon_hung") return { kind: "hung", holder };
    if (thrown.code !== "daemon_unreachable") throw thrown;
    if (holder === undefined) return { kind: "absent" };
    return { kind: "busy", holder };
  }
}

/** Who the lock file names, if that very process lives. */
export async function livingHolder(lock: string): Promise<LockHolder | undefined> {
  const holder = await readHolder(lock);
  return holder !== undefined && await isHolderAlive(holder) ? holder : undefined;
}
