/**
 * An agent lives as long as its guest and mostly waits, so every minute what a burst of work took goes back:
 * garbage of V8's heap, and of the C library's the free pieces in the middle of it, which stay resident otherwise.
 *
 * Distributors' kernels join pages to huge ones wherever they may ("always"), and one page in use is
 * enough for that: what was given back would be filled up with zeros again. So the heap opts out, by
 * madvise on itself; the switch for a whole process would be inherited by every program it starts.
 */
import { libc } from "../ffi/libc.ts";
import { GarbageCollector } from "../src/base/collect_garbage.ts";
import { type Clock, systemClock } from "../src/base/clock.ts";

const EVERY_MS = 60_000;
const MADV_NOHUGEPAGE = 15;

/** Runs until the signal; where a C library lacks the calls things stay as they are. */
export async function keepLean(
  { signal, clock = systemClock }: { readonly signal: AbortSignal; readonly clock?: Clock },
): Promise<void> {
  const garbage = new GarbageCollector();
  try {
    for (;;) {
      keepSmallPages(await Deno.readTextFile("/proc/self/maps"));
      // Only then: at a start, in the thick of a boot, there is nothing to be had yet.
      await clock.sleep(EVERY_MS, { signal });
      garbage.look();
      libc("malloc_trim")(0n);
    }
  } catch {
    // The signal, or a guest that does not offer this: nothing depends on it.
  }
}

function keepSmallPages(maps: string): void {
  for (const { start, length } of heaps(maps)) libc("madvise")(start, length, MADV_NOHUGEPAGE);
}

/** More than one mapping once it grew after it had opted out. */
export function heaps(maps: string): { readonly start: bigint; readonly length: bigint }[] {
  return [...maps.matchAll(/^([0-9a-f]+)-([0-9a-f]+) .* \[heap\]$/gm)].map(([, from, to]) => {
    const start = BigInt(`0x${from}`);
    return { start, length: BigInt(`0x${to}`) - start };
  });
}
