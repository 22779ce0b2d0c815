/** How far a copy is: one line that is drawn over, on a terminal only, a few times a second. */
import { formatDuration, formatSize } from "../base/units.ts";
import { printableLine } from "../base/printable.ts";
import type { Context } from "./verb.ts";

const EVERY_MS = 200;
const MAX_WIDTH = 100;

export interface CopyProgress extends Disposable {
  add(bytes: number): void;
  total(bytes: number): void;
  /** A line of its own, above. */
  note(text: string): void;
  end(): void;
}

export interface CopyState {
  readonly done: number;
  readonly total?: number;
  readonly ms: number;
}

/** `big.img: 12 MiB of 256 MiB (4%), 40 MiB/s, 6.1 s left` */
export function copyLine(name: string, { done, total, ms }: CopyState): string {
  const parts = [
    total === undefined || total === 0
      ? formatSize(done)
      : `${formatSize(done)} of ${formatSize(total)} (${Math.floor(done / total * 100)}%)`,
  ];
  // The first moments say nothing of the rate.
  if (ms >= 500 && done > 0) {
    const perSecond = done / ms * 1000;
    parts.push(`${formatSize(Math.round(perSecond))}/s`);
    if (total !== undefined && total > done) {
      parts.push(`${formatDuration((total - done) / perSecond * 1000)} left`);
    }
  }
  return `${printableLine(name, 40)}: ${parts.join(", ")}`;
}

export function copyProgress(context: Context, name: string): CopyProgress {
  const { out, globals } = context;
  const live = out.mode === "interactive" && !globals.quiet;
  const began = performance.now();
  const encoder = new TextEncoder();
  const draw = (text: string) => Deno.stderr.writeSync(encoder.encode(text));
  let done = 0;
  let total: number | undefined;
  let drawnAt = 0;
  const clear = () => {
    if (drawnAt > 0) draw("\r\x1b[K");
    drawnAt = 0;
  };
  return {
    add(bytes) {
      done += bytes;
      if (!live) return;
      const now = performance.now();
      if (now - drawnAt < EVERY_MS) return;
      drawnAt = now;
      const line = copyLine(name, {
        done,
        ms: now - began,
        ...(total === undefined ? {} : { total }),
      });
      draw(`\r\x1b[K${line.slice(0, MAX_WIDTH)}`);
    },
    total(bytes) {
      total = bytes;
    },
    note(text) {
      clear();
      out.note(text);
    },
    end: clear,
    [Symbol.dispose]: clear,
  };
}
