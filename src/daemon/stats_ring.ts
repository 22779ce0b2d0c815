/**
 * The last hour of a machine's counters, one sample every five seconds while it has power, in memory:
 * what `rum stats --history` draws. A new daemon begins an empty ring.
 */
import type { Clock } from "../base/clock.ts";
import type { RawStats } from "../libvirt/hypervisor.ts";
import { sampleOf, type StatsSample } from "./stats_sample.ts";

export const STATS_EVERY_MS = 5000;
const KEEP = 720;
/** Rates over a longer gap than this say nothing of now. */
const RATE_GAP_MS = 60_000;

export interface StatsRing extends Disposable {
  /** Counters as of now, with rates since the last sample. */
  now(signal?: AbortSignal): Promise<StatsSample>;
  history(): readonly StatsSample[];
}

export interface StatsRingOptions {
  readonly read: (signal?: AbortSignal) => Promise<RawStats>;
  readonly powered: () => boolean;
  readonly clock: Clock;
  readonly everyMs?: number;
}

export function createStatsRing(options: StatsRingOptions): StatsRing {
  const { read, powered, clock, everyMs = STATS_EVERY_MS } = options;
  const ring: StatsSample[] = [];
  const stop = new AbortController();

  const now = async (signal?: AbortSignal) => {
    const raw = await read(signal);
    const monotonicMs = clock.monotonicMs();
    const last = ring.at(-1);
    const near = last !== undefined && monotonicMs - last.monotonic_ms < RATE_GAP_MS;
    return sampleOf(raw, { at: clock.now().toISOString(), monotonicMs }, near ? last : undefined);
  };

  (async () => {
    while (!stop.signal.aborted) {
      await clock.sleep(everyMs, { signal: stop.signal });
      if (!powered()) continue;
      // A busy hypervisor costs a sample and nothing else.
      const sample = await now(stop.signal).catch(() => undefined);
      if (sample === undefined) continue;
      ring.push(sample);
      if (ring.length > KEEP) ring.shift();
    }
  })().catch(() => {});

  return {
    now,
    history: () => [...ring],
    [Symbol.dispose]: () => stop.abort(new Error("The daemon lets go")),
  };
}
