/**
 * A service's log as lines, from its end on and as it grows. The file is rotated by copying and
 * truncating, so one that has become shorter goes on in its first copy, from where we were.
 */
import { tailLogAt } from "./log_files.ts";

const LOOK_MS = 250;
const READ_MAX = 256 * 1024;
/** A line that never ends is told in pieces of this. */
const LINE_MAX = 64 * 1024;

export interface FollowOptions {
  readonly lines: number;
  readonly follow: boolean;
  readonly signal: AbortSignal;
}

/** Batches of lines, oldest first; ends with the tail, or with the signal when following. */
export async function* logLines(path: string, options: FollowOptions): AsyncGenerator<string[]> {
  const { lines, follow, signal } = options;
  const tail = await tailLogAt(path, lines);
  const split = createSplitter();
  const past = split.take(tail.text);
  if (!follow) past.push(...split.rest());
  if (past.length > 0) yield past;
  if (!follow) return;
  let offset = tail.end;
  const decoder = new TextDecoder();
  while (!signal.aborted) {
    const size = await Deno.stat(path).then((found) => found.size, () => 0);
    const parts: Uint8Array[] = [];
    if (size < offset) {
      parts.push(await readFrom(`${path}.1`, offset));
      offset = 0;
    }
    const fresh = await readFrom(path, offset);
    offset += fresh.length;
    parts.push(fresh);
    const found = parts.flatMap((part) => split.take(decoder.decode(part, { stream: true })));
    if (found.length > 0) yield found;
    if (fresh.length < READ_MAX) await pause(LOOK_MS, signal);
  }
}

function createSplitter() {
  let open = "";
  return {
    take(text: string): string[] {
      const pieces = (open + text).split("\n");
      open = pieces.pop()!;
      const lines = pieces.flatMap(inPieces);
      while (open.length > LINE_MAX) {
        lines.push(open.slice(0, LINE_MAX));
        open = open.slice(LINE_MAX);
      }
      return lines;
    },
    rest(): string[] {
      const last = open;
      open = "";
      return last === "" ? [] : inPieces(last);
    },
  };
}

function inPieces(line: string): string[] {
  if (line.length <= LINE_MAX) return [line];
  const pieces: string[] = [];
  for (let at = 0; at < line.length; at += LINE_MAX) pieces.push(line.slice(at, at + LINE_MAX));
  return pieces;
}

async function readFrom(path: string, offset: number): Promise<Uint8Array> {
  try {
    using file = await Deno.open(path);
    await file.seek(offset, Deno.SeekMode.Start);
    const buffer = new Uint8Array(READ_MAX);
    return buffer.subarray(0, await file.read(buffer) ?? 0);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return new Uint8Array(0);
    throw error;
  }
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal.addEventListener("abort", done, { once: true });
  });
}
