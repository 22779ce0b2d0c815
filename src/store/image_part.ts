/** The file of a download under way, and the note beside it that says of what it is a part. */
import type { Hash } from "../base/hash.ts";
import { Unreachable } from "./image_fetch.ts";
import { removeIfThere } from "./image_layout.ts";
import { fileError, readOwnFile } from "./ownership.ts";

export interface Sidecar {
  readonly v: 1;
  readonly url: string;
  readonly validator?: string;
}

/** Removes what a finished or hopeless download keeps. */
export async function discardPartial(stem: string): Promise<void> {
  await removeIfThere(`${stem}.part`);
  await removeIfThere(`${stem}.json`);
}

/** A note without its part: its download was killed after the part became an image. */
export async function discardOrphan(stem: string): Promise<void> {
  if (await sizeOf(`${stem}.part`) === 0) await discardPartial(stem);
}

export async function openPart(part: string, start: number, action: string): Promise<Deno.FsFile> {
  try {
    return start === 0
      ? await Deno.open(part, { read: true, write: true, createNew: true, mode: 0o600 })
      : await Deno.open(part, { read: true, write: true });
  } catch (error) {
    throw fileError(error, action);
  }
}

/** Hashes the first `length` bytes and leaves the file at their end, cut there. */
export async function hashPrefix(
  file: Deno.FsFile,
  length: number,
  hashes: readonly Hash[],
  watch: { readonly signal: AbortSignal; readonly alive: () => void },
): Promise<void> {
  const buffer = new Uint8Array(1024 * 1024);
  for (let at = 0; at < length;) {
    watch.signal.throwIfAborted();
    const n = await file.read(buffer.subarray(0, Math.min(buffer.length, length - at)));
    if (n === null) throw new Unreachable("The partial download shrank while it was read");
    for (const hash of hashes) hash.update(buffer.subarray(0, n));
    at += n;
    watch.alive();
  }
  await file.truncate(length);
  await file.seek(length, Deno.SeekMode.Start);
}

export async function readSidecar(path: string): Promise<Sidecar | undefined> {
  try {
    const value = JSON.parse(await readOwnFile(path, { maxBytes: 64 * 1024 }) ?? "null");
    return value?.v === 1 && typeof value.url === "string" ? value : undefined;
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

export async function sizeOf(path: string): Promise<number> {
  try {
    const info = await Deno.lstat(path);
    return info.isFile ? info.size : 0;
  } catch {
    return 0;
  }
}
