/**
 * `[auto_ports]`: what begins to listen in the guest gets a forward, what ends loses it. A pure
 * step over two lists, and a loop that asks.
 *
 * The guest is asked at a pace that the answer sets: the time from question to answer is more than
 * the agent can have spent on it, so a hundred times that between two questions keeps it below one
 * percent of a guest core however slow the guest is.
 *
 * A hostile guest can at most have 64 ports of its choice, unprivileged, inside the range that the
 * user named, and never one that something on the host holds.
 */
import type { Clock } from "../base/clock.ts";
import type { AutoPortsConfig } from "../config/types.ts";
import type { Listener } from "../protocol/agent.ts";

export const MAX_AUTO_PORTS = 64;
const FIRST_UNPRIVILEGED = 1024;
const MIN_PAUSE_MS = 1500;
const MAX_PAUSE_MS = 30_000;
const COST_FACTOR = 100;
/** A service that restarts is away for a moment: its forward stays for so many looks. */
const MISSED_LOOKS = 2;

export interface AutoPortsMemory {
  /** Guest port → looks in a row at which nothing listened there. */
  readonly forwarded: ReadonlyMap<number, number>;
}

/** What to open and close after one look at the guest's listeners. */
export function autoPortsStep(
  memory: AutoPortsMemory,
  listeners: readonly Pick<Listener, "port">[],
  config: AutoPortsConfig,
  /** Guest ports that have a forward of the user's making. */
  taken: ReadonlySet<number>,
): { readonly open: readonly number[]; readonly close: readonly number[]; next: AutoPortsMemory } {
  const from = Math.max(config.from, FIRST_UNPRIVILEGED);
  const ignored = new Set(config.ignore);
  const wanted = new Set(
    listeners.map((each) => each.port).filter((port) =>
      port >= from && port <= config.to && !ignored.has(port) && !taken.has(port)
    ),
  );
  const next = new Map<number, number>();
  const close: number[] = [];
  for (const [port, missed] of memory.forwarded) {
    if (wanted.has(port)) next.set(port, 0);
    else if (missed + 1 < MISSED_LOOKS && !taken.has(port)) next.set(port, missed + 1);
    else close.push(port);
  }
  const open: number[] = [];
  for (const port of [...wanted].sort((a, b) => a - b)) {
    if (next.has(port)) continue;
    if (next.size >= MAX_AUTO_PORTS) break;
    next.set(port, 0);
    open.push(port);
  }
  return { open, close, next: { forwarded: next } };
}

export interface AutoPortsOptions {
  readonly config: AutoPortsConfig;
  /** Undefined while no agent is there. */
  readonly listeners: (signal: AbortSignal) => Promise<readonly Listener[] | undefined>;
  readonly taken: () => ReadonlySet<number>;
  /** False: the host has that port in use; asked again at the next look. */
  readonly open: (port: number) => Promise<boolean>;
  readonly close: (port: number) => Promise<void>;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

/** Looks until the signal aborts. Never rejects; a look that fails is a look at nothing new. */
export async function watchGuestPorts(options: AutoPortsOptions): Promise<void> {
  const { clock, signal, config } = options;
  let memory: AutoPortsMemory = { forwarded: new Map() };
  while (!signal.aborted) {
    const began = clock.monotonicMs();
    let took = 0;
    try {
      const listeners = await options.listeners(signal);
      took = clock.monotonicMs() - began;
      if (listeners !== undefined && !signal.aborted) {
        const { open, close, next } = autoPortsStep(memory, listeners, config, options.taken());
        const kept = new Map(next.forwarded);
        for (const port of close) await options.close(port);
        for (const port of open) if (!await options.open(port)) kept.delete(port);
        memory = { forwarded: kept };
      }
    } catch {
      took = clock.monotonicMs() - began;
    }
    const pause = Math.min(MAX_PAUSE_MS, Math.max(MIN_PAUSE_MS, took * COST_FACTOR));
    await clock.sleep(pause, { signal }).catch(() => {});
  }
}
