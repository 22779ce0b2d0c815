/**
 * A daemon lives for weeks and mostly waits, so what only its start or a burst of work needed is
 * given back: garbage of V8's heap, free pieces of the C library's, and pages of program code that nobody runs now.
 * Code is read from its file again where it is needed after all (it nearly always is in the page
 * cache); without this, half of what an idle daemon is resident with would be the runtime's start.
 *
 * Only pages of the runtime's own file that nobody wrote to are let go: a relocated or patched one has no
 * copy elsewhere, and any other file may be unmapped, its place taken by somebody's memory, between the
 * look and the call.
 */
import { libc } from "../../ffi/libc.ts";
import { GarbageCollector } from "../base/collect_garbage.ts";
import { type Clock, systemClock } from "../base/clock.ts";

const FIRST_AFTER_MS = 5000;
const EVERY_MS = 60_000;
/** Below this a mapping is not worth its call. */
const LEAST_BYTES = 64 * 1024;

const M_ARENA_MAX = -8;
/** As MALLOC_ARENA_MAX says to a daemon that we start ourselves (self_command.ts): more here would undo it. */
const ARENAS = 1;
const MADV_DONTNEED = 4;

/**
 * Before threads start: glibc would give each a heap of its own, and keeps all of them. Runs until
 * the signal; a C library without the calls leaves things as they are.
 */
export async function keepLean(
  { signal, clock = systemClock }: { readonly signal: AbortSignal; readonly clock?: Clock },
): Promise<void> {
  const garbage = new GarbageCollector();
  try {
    libc("mallopt")(M_ARENA_MAX, ARENAS);
    for (let waitMs = FIRST_AFTER_MS;; waitMs = EVERY_MS) {
      await clock.sleep(waitMs, { signal });
      garbage.look();
      giveBack(await Deno.readTextFile("/proc/self/smaps"), await Deno.readLink("/proc/self/exe"));
    }
  } catch {
    // The signal, or a host that does not offer this: nothing depends on it.
  }
}

function giveBack(smaps: string, program: string): void {
  libc("malloc_trim")(0n);
  for (const { start, length } of cleanCode(smaps, program)) {
    libc("madvise")(start, length, MADV_DONTNEED);
  }
}

export interface Range {
  readonly start: bigint;
  readonly length: bigint;
}

/** Read-only private mappings of `program`, with pages present and none of them changed. */
export function cleanCode(smaps: string, program: string): Range[] {
  const found: Range[] = [];
  for (const mapping of smaps.split(/^(?=[0-9a-f]+-[0-9a-f]+ )/m)) {
    const head = /^([0-9a-f]+)-([0-9a-f]+) r-[x-]p \S+ \S+ [1-9]\d* +(\/.*)$/m.exec(mapping);
    if (head === null || head[3] !== program) continue;
    const kib = (name: string) =>
      Number(new RegExp(`^${name}: +(\\d+) kB$`, "m").exec(mapping)?.[1]);
    // NaN, where a field is missing, is not 0 either.
    if (kib("Anonymous") !== 0 || kib("Private_Dirty") !== 0 || kib("Shared_Dirty") !== 0) continue;
    if (!(kib("Rss") * 1024 >= LEAST_BYTES)) continue;
    const start = BigInt(`0x${head[1]}`);
    found.push({ start, length: BigInt(`0x${head[2]}`) - start });
  }
  return found;
}
