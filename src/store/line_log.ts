/**
 * Logs of lines on the host: scripts, the guest's console, the agent. One form for all, so that one
 * reader (`log_reader.ts`) serves `rum log` for every source:
 *
 *   2026-11-21T10:00:00.123Z | text        (`!` instead of `|` for stderr)
 *
 * Bounded while it is written: past `maxBytes` the file becomes `.1`, that `.2`, and so on. A log
 * that cannot be written (full disk, folder gone) must not stop what it is about: the lines are
 * counted, and the first line that can be written again says how many were lost.
 */
import { openOwnFile } from "./ownership.ts";

export interface LineLogOptions {
  readonly maxBytes?: number;
  /** Files, the present one included. */
  readonly keep?: number;
}

export type Stream = "out" | "err";

export interface LineLog {
  readonly path: string;
  /** `text` without its line feed, already printable. */
  line(at: Date, stream: Stream, text: string): void;
  /** Resolves once little enough is waiting; a writer that awaits it keeps memory flat. */
  ready(): Promise<void>;
  /** Resolves when everything so far is in the file, or counted as lost. */
  flush(): Promise<void>;
  /** As `flush`, and takes no more. */
  close(): Promise<void>;
}

const DEFAULT_MAX_BYTES = 10 * 2 ** 20;
const DEFAULT_KEEP = 5;
const PENDING_MAX = 2 ** 20;

export function openLineLog(path: string, options: LineLogOptions = {}): LineLog {
  const { maxBytes = DEFAULT_MAX_BYTES, keep = DEFAULT_KEEP } = options;
  const encoder = new TextEncoder();
  let pending: string[] = [];
  let pendingChars = 0;
  let lost = 0;
  let closed = false;
  // A writer that was killed, or a disk that was full, may have left half a line: what is written
  // next begins its own.
  let mend = true;
  let running: Promise<void> | undefined;

  const write = async () => {
    while (pending.length > 0) {
      const lines = pending;
      pending = [];
      pendingChars = 0;
      const notice = lost === 0
        ? ""
        : `${new Date().toISOString()} ! [${lost} lines could not be written to this log]\n`;
      try {
        const bytes = encoder.encode(notice + lines.join(""));
        await appendRotating(path, bytes, { maxBytes, keep, mend });
        mend = false;
        lost = 0;
      } catch {
        lost += lines.length;
        mend = true;
      }
    }
    running = undefined;
  };
  const flush = async () => {
    while (running !== undefined) await running;
  };
  return {
    path,
    line(at, stream, text) {
      if (closed) return;
      const line = `${formatLogLine(at, stream, text)}\n`;
      pending.push(line);
      pendingChars += line.length;
      running ??= Promise.resolve().then(write);
    },
    async ready() {
      while (pendingChars > PENDING_MAX) await running;
    },
    flush,
    async close() {
      closed = true;
      await flush();
    },
  };
}

/** As it stands in the file, without its line feed. */
export function formatLogLine(at: Date, stream: Stream, text: string): string {
  return `${at.toISOString()} ${stream === "out" ? "|" : "!"} ${text}`;
}

/** Appends, rotating first when the present file has reached its bound. */
async function appendRotating(
  path: string,
  bytes: Uint8Array,
  { maxBytes, keep, mend }: Required<LineLogOptions> & { mend: boolean },
): Promise<void> {
  // A burst larger than a file is cut at line ends, so that no file passes its bound by much.
  for (let at = 0; at < bytes.length;) {
    const file = await openOwnFile(path, { write: true }) ??
      await Deno.open(path, { read: true, write: true, createNew: true, mode: 0o600 });
    let full = false;
    try {
      const { size } = await file.stat();
      full = size > 0 && size + Math.min(bytes.length - at, 64 * 1024) > maxBytes;
      if (!full) {
        if (mend && at === 0) await endTornLine(file, size);
        await file.seek(0, Deno.SeekMode.End);
        const room = Math.max(maxBytes - size, 64 * 1024);
        let end = Math.min(bytes.length, at + room);
        if (end < bytes.length) end = bytes.lastIndexOf(10, end - 1) + 1 || end;
        if (end <= at) end = bytes.length;
        while (at < end) at += await file.write(bytes.subarray(at, end));
      }
    } finally {
      file.close();
    }
    if (full) await rotate(path, keep);
  }
}

async function endTornLine(file: Deno.FsFile, size: number): Promise<void> {
  if (size === 0) return;
  const last = new Uint8Array(1);
  await file.seek(size - 1, Deno.SeekMode.Start);
  if (await file.read(last) === 1 && last[0] !== 10) await file.write(new Uint8Array([10]));
}

async function rotate(path: string, keep: number): Promise<void> {
  for (let n = keep - 2; n >= 0; n--) {
    const from = n === 0 ? path : `${path}.${n}`;
    try {
      await Deno.rename(from, `${path}.${n + 1}`);
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
  }
}

/** Names of the log's files, oldest first, whichever exist. */
export async function logFiles(path: string): Promise<string[]> {
  const found: string[] = [];
  for (let n = 1; n < 64; n++) {
    const older = `${path}.${n}`;
    if (!await Deno.lstat(older).then((s) => s.isFile, () => false)) break;
    found.unshift(older);
  }
  if (await Deno.lstat(path).then((s) => s.isFile, () => false)) found.push(path);
  return found;
}
