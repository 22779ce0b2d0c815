/**
 * Progress of a download or build: one line redrawn on a terminal, a note per ten percent in plain
 * text, a record each in JSON. Pure state → text in `progressLine`; the rest owns the one line.
 */
import { formatDuration, formatSize } from "../base/units.ts";
import type { ImageProgress, OnProgress } from "../store/image_types.ts";
import type { Context } from "./verb.ts";

const VERBS: Readonly<Record<string, string>> = {
  fetch: "fetching",
  import: "copying",
  hash: "verifying",
  bootstrap: "installing packages",
  assemble: "filling the disk",
  convert: "writing the image",
};

export function percentOf(progress: ImageProgress): number | undefined {
  if (progress.percent !== undefined) return progress.percent;
  if (progress.total === undefined || progress.total === 0) return undefined;
  return Math.floor(progress.bytes * 100 / progress.total);
}

/** `debian-12: fetching 42 %, 180 MiB of 430 MiB, 12 MiB/s, 20.8 s left` */
export function progressLine(name: string, progress: ImageProgress): string {
  const { bytes, total, bytesPerSecond } = progress;
  const percent = percentOf(progress);
  const parts = [VERBS[progress.stage] ?? progress.stage];
  if (percent !== undefined) parts[0] += ` ${percent} %`;
  if (total !== undefined) parts.push(`${formatSize(bytes)} of ${formatSize(total)}`);
  else if (bytes > 0) parts.push(formatSize(bytes));
  if (bytesPerSecond !== undefined && bytesPerSecond > 0) {
    parts.push(`${formatSize(bytesPerSecond)}/s`);
    if (total !== undefined && bytes < total) {
      parts.push(`${formatDuration((total - bytes) / bytesPerSecond * 1000)} left`);
    }
  }
  return `${name}: ${parts.join(", ")}`;
}

export function imageProgress(
  context: Context,
  name: string,
): { progress: OnProgress; clear: () => void } & Disposable {
  const { out, globals } = context;
  const encoder = new TextEncoder();
  const draw = (text: string) => Deno.stderr.writeSync(encoder.encode(text));
  const live = out.mode === "interactive" && !globals.quiet;
  let drawn = false;
  let stage = "";
  let lastStep = -1;
  const clear = () => {
    if (drawn) draw("\r\x1b[K");
    drawn = false;
  };
  return {
    progress(progress) {
      if (live) {
        draw(`\r\x1b[K${progressLine(name, progress).slice(0, 100)}`);
        drawn = true;
        return;
      }
      // Verification is quick and has its own result line; a script hears of the long stages.
      if (progress.stage === "hash") return;
      const step = Math.floor((percentOf(progress) ?? 0) / 10);
      if (progress.stage === stage && step === lastStep) return;
      stage = progress.stage;
      lastStep = step;
      out.note(progressLine(name, progress));
    },
    clear,
    [Symbol.dispose]: clear,
  };
}
