/**
 * Reading logs on the host, for `rum log`: the last lines, those since a time, or all that come.
 * Pure parsing, small reads: a log of 50 MiB is read from its end backwards, not loaded.
 *
 * Following is done by size and inode, polled: a rotation is seen as a changed inode, the rest of the
 * old file is read to its end first, and no line is told twice or lost between the two.
 */
import { systemClock } from "../base/clock.ts";
import { logFiles, type Stream } from "./line_log.ts";

export interface LogLine {
  /** ISO 8601; absent for a line that is not in our form. */
  readonly at?: string;
  readonly stream: Stream;
  readonly text: string;
}

const FORM = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z) (?:([|!]) )?(.*)$/s;

export function parseLogLine(line: string): LogLine {
  const match = FORM.exec(line);
  if (match === null) return { stream: "out", text: line };
  return { at: match[1], stream: match[2] === "!" ? "err" : "out", text: match[3] };
}

export interface TailOptions {
  /** At most this many from the end; undefined = all. */
  readonly lines?: number;
  readonly since?: Date;
  /** Bytes of the present file that count; the rest is left to a follower that begins there. */
  readonly upTo?: number;
}

const BLOCK = 64 * 1024;

/** The end of a log over all its rotated files, oldest line first. */
export async function tailLog(path: string, options: TailOptions = {}): Promise<LogLine[]> {
  const { lines = Infinity, since, upTo = Infinity } = options;
  const found: LogLine[] = [];
  for (const file of (await logFiles(path)).reverse()) {
    for await (const text of linesBackwards(file, file === path ? upTo : Infinity)) {
      if (found.length >= lines) return found.reverse();
      const line = parseLogLine(text);
      if (since !== undefined && line.at !== undefined && new Date(line.at) < since) {
        return found.reverse();
      }
      found.push(line);
    }
  }
  return found.reverse();
}

async function* linesBackwards(path: string, upTo: number): AsyncGenerator<string> {
  let file: Deno.FsFile;
  try {
    file = await Deno.open(path, { read: true });
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return;
    throw error;
  }
  try {
    let end = Math.min((await file.stat()).size, upTo);
    let rest = new Uint8Array(0);
    const decoder = new TextDecoder();
    while (end > 0) {
      const start = Math.max(0, end - BLOCK);
      const block = new Uint8Array(end - start + rest.length);
      await file.seek(start, Deno.SeekMode.Start);
      for (let at = 0; at < end - start;) {
        const n = await file.read(block.subarray(at, end - start));
        if (n === null) break;
        at += n;
      }
      block.set(rest, end - start);
      // What stands before the first line feed may go on in the block before.
      const first = start === 0 ? -1 : block.indexOf(10);
      if (start > 0 && first === -1) {
        rest = block;
        end = start;
        continue;
      }
      const body = block.subarray(first + 1);
      const lines = decoder.decode(body).split("\n");
      if (lines.at(-1) === "") lines.pop();
      for (let i = lines.length - 1; i >= 0; i--) yield lines[i];
      rest = block.slice(0, first + 1);
      end = start;
    }
  } finally {
    file.close();
  }
}

export interface FollowOptions {
  readonly signal: AbortSignal;
  /** Where in the present file to begin; its end when not given. 0 for one that has just appeared. */
  readonly from?: number;
  readonly pollMs?: number;
}

/** Every line that is appended from now on, until the signal; ends quietly. */
export async function* followLog(
  path: string,
  { signal, from, pollMs = 200 }: FollowOptions,
): AsyncGenerator<LogLine> {
  const decoder = new TextDecoder();
  let inode: number | null | undefined;
  let offset = from ?? (await sizeAndInode(path))?.size ?? 0;
  inode = (await sizeAndInode(path))?.ino;
  let rest = "";
  while (!signal.aborted) {
    const now = await sizeAndInode(path);
    if (now !== undefined && now.ino !== inode) {
      const rotated = `${path}.1`;
      const old = await sizeAndInode(rotated);
      if (inode !== undefined && old?.ino === inode) yield* emit(await readFrom(rotated, offset));
      inode = now.ino;
      offset = 0;
    }
    if (now !== undefined && now.size < offset) offset = 0;
    if (now !== undefined && now.size > offset) {
      const bytes = await readFrom(path, offset);
      offset += bytes.length;
      yield* emit(bytes);
      continue;
    }
    try {
      await systemClock.sleep(pollMs, { signal });
    } catch {
      return;
    }
  }

  function* emit(bytes: Uint8Array): Generator<LogLine> {
    const lines = (rest + decoder.decode(bytes, { stream: true })).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) yield parseLogLine(line);
  }
}

async function sizeAndInode(
  path: string,
): Promise<{ size: number; ino: number | null } | undefined> {
  try {
    const { size, ino, isFile } = await Deno.lstat(path);
    return isFile ? { size, ino } : undefined;
  } catch {
    return undefined;
  }
}

const READ_MAX = 2 ** 20;

async function readFrom(path: string, offset: number): Promise<Uint8Array> {
  try {
    using file = await Deno.open(path, { read: true });
    await file.seek(offset, Deno.SeekMode.Start);
    const bytes = new Uint8Array(READ_MAX);
    const n = await file.read(bytes);
    return bytes.subarray(0, n ?? 0);
  } catch {
    return new Uint8Array(0);
  }
}
