/**
 * The image cache on disk (SPEC section 4) and its small records.
 *
 *   images/
 *     sha256-<hex>.qcow2|raw   the bytes, read-only, named by what they are
 *     index/<key>.json         source → digest; key = hash of the source
 *     blobs/<digest>.json      inode, mtime and size at the last full hash
 *     partial/<key>.part       a download under way, with <key>.json saying what of
 *     stages/                  of `image build`: finished stages, by recipe
 *     locks/<key>.lock         one download per source; never unlinked
 *     locks/blobs.lock         while an image appears, is handed out or goes
 *
 * A blob appears by one rename, after its bytes are on disk and their hash is known; a record
 * appears after its blob. So whatever is killed, a name that is there is complete, and what is
 * not named is at worst a `.part`. As root the folders can be entered by others: the system
 * hypervisor's QEMU runs as a user of its own and reads the base through here.
 */
import { folderMode } from "./machine_folder.ts";
import { ensureOwnFolder, fileError, readOwnFile } from "./ownership.ts";
import { writeFileAtomic } from "./atomic.ts";
import { busyError, describeHolder, withFlock } from "./flock.ts";
import { RumError } from "../base/errors.ts";
import type { RumPaths } from "../plan/paths.ts";
import type { BlobRecord, FileStamp, ImageFormat, SourceRecord } from "./image_types.ts";

const BLOB = /^sha256-([0-9a-f]{64})\.(qcow2|raw)$/;

export interface ImageLayout {
  readonly root: string;
  readonly index: string;
  readonly blobs: string;
  readonly partial: string;
  readonly stages: string;
  readonly locks: string;
}

export function imageLayout(paths: RumPaths): ImageLayout {
  const root = paths.images;
  return {
    root,
    index: `${root}/index`,
    blobs: `${root}/blobs`,
    partial: `${root}/partial`,
    stages: `${root}/stages`,
    locks: `${root}/locks`,
  };
}

export function blobPath(layout: ImageLayout, digest: string, format: ImageFormat): string {
  return `${layout.root}/sha256-${digest}.${format}`;
}

/** Makes the folders; the modes are checked on every use. */
export async function prepareCache(paths: RumPaths): Promise<ImageLayout> {
  const layout = imageLayout(paths);
  await Deno.mkdir(parent(paths.cache), { recursive: true, mode: 0o755 }).catch((error) => {
    throw fileError(error, `Cannot make the folder "${parent(paths.cache)}"`);
  });
  for (const folder of [paths.cache, layout.root]) {
    await ensureOwnFolder(folder, { mode: folderMode() });
  }
  for (const folder of [layout.index, layout.blobs, layout.partial, layout.stages, layout.locks]) {
    await ensureOwnFolder(folder, { mode: 0o700 });
  }
  return layout;
}

/** The file name of a source's record, lock and partial download. */
export async function sourceKey(source: string): Promise<string> {
  const hash = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(source));
  return new Uint8Array(hash).toHex().slice(0, 32);
}

export async function readSource(
  layout: ImageLayout,
  source: string,
): Promise<SourceRecord | undefined> {
  const record = await readRecord<SourceRecord>(`${layout.index}/${await sourceKey(source)}.json`);
  return record?.source === source ? record : undefined;
}

export async function writeSource(layout: ImageLayout, record: SourceRecord): Promise<void> {
  const path = `${layout.index}/${await sourceKey(record.source)}.json`;
  await writeFileAtomic(path, JSON.stringify(record, null, 2) + "\n");
}

export async function removeSource(layout: ImageLayout, source: string): Promise<void> {
  await removeIfThere(`${layout.index}/${await sourceKey(source)}.json`);
}

export async function allSources(layout: ImageLayout): Promise<SourceRecord[]> {
  const records: SourceRecord[] = [];
  for (const name of await namesIn(layout.index)) {
    if (!name.endsWith(".json") || name.startsWith(".")) continue;
    const record = await readRecord<SourceRecord>(`${layout.index}/${name}`);
    if (record?.source !== undefined) records.push(record);
  }
  return records.sort((a, b) => a.source < b.source ? -1 : 1);
}

export async function readBlob(
  layout: ImageLayout,
  digest: string,
): Promise<BlobRecord | undefined> {
  const record = await readRecord<BlobRecord>(`${layout.blobs}/${digest}.json`);
  return record?.digest === digest ? record : undefined;
}

export async function writeBlob(layout: ImageLayout, record: BlobRecord): Promise<void> {
  await writeFileAtomic(
    `${layout.blobs}/${record.digest}.json`,
    JSON.stringify(record, null, 2) + "\n",
  );
}

/** The image files that are there, recorded or not. */
export async function blobFiles(
  layout: ImageLayout,
): Promise<{ digest: string; format: ImageFormat; path: string }[]> {
  const found: { digest: string; format: ImageFormat; path: string }[] = [];
  for (const name of await namesIn(layout.root)) {
    const match = BLOB.exec(name);
    if (match === null) continue;
    const format = match[2] as ImageFormat;
    found.push({ digest: match[1], format, path: `${layout.root}/${name}` });
  }
  return found.sort((a, b) => a.path < b.path ? -1 : 1);
}

/** The digest that a path inside a cache names: how an overlay is matched with its base. */
export function digestInPath(path: string): string | undefined {
  return BLOB.exec(path.slice(path.lastIndexOf("/") + 1))?.[1];
}

export async function stampOf(path: string): Promise<FileStamp | undefined> {
  try {
    const { ino, size, mtime, isFile } = await Deno.lstat(path);
    if (!isFile) return undefined;
    return { ino: ino ?? 0, size, mtime_ms: mtime?.getTime() ?? 0 };
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw fileError(error, `Cannot look at "${path}"`);
  }
}

export function sameStamp(a: FileStamp | undefined, b: FileStamp | undefined): boolean {
  return a !== undefined && b !== undefined && a.ino === b.ino && a.size === b.size &&
    a.mtime_ms === b.mtime_ms;
}

/** The lock of one source: whoever comes second finds the finished image. */
export async function withSourceLock<T>(
  layout: ImageLayout,
  source: string,
  options: { operation: string; deadlineMs: number; signal?: AbortSignal },
  fn: () => Promise<T>,
): Promise<T> {
  return await withLock(`${layout.locks}/${await sourceKey(source)}.lock`, options, fn);
}

const BLOBS_MS = 30_000;

/**
 * A file becomes an image, is given to a machine, or is taken away: never two of these at once, and
 * each is short work. Within it a source's lock is not waited for.
 */
export async function withBlobsLock<T>(
  layout: ImageLayout,
  operation: string,
  fn: () => Promise<T>,
): Promise<T> {
  return await withLock(`${layout.locks}/blobs.lock`, { operation, deadlineMs: BLOBS_MS }, fn);
}

async function withLock<T>(
  path: string,
  options: { operation: string; deadlineMs: number; signal?: AbortSignal },
  fn: () => Promise<T>,
): Promise<T> {
  const { operation, deadlineMs, signal } = options;
  const holder = await describeHolder({ role: "one-shot", operation, deadlineMs });
  try {
    return await withFlock(path, { holder, deadlineMs, signal }, fn);
  } catch (error) {
    if (!(error instanceof RumError) || error.code !== "busy") throw error;
    throw new RumError(
      "busy",
      `Cannot ${operation}: ${error.message.replace("the machine", "it")}`,
      {
        cause: error,
        data: error.data ?? busyError(undefined).data,
        hint: "rum image ls",
      },
    );
  }
}

export async function removeIfThere(path: string): Promise<boolean> {
  try {
    await Deno.remove(path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw fileError(error, `Cannot remove "${path}"`);
  }
}

export async function namesIn(folder: string): Promise<string[]> {
  try {
    return (await Array.fromAsync(Deno.readDir(folder))).map((entry) => entry.name).sort();
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return [];
    throw fileError(error, `Cannot list "${folder}"`);
  }
}

/** A record that does not parse counts as absent: it can be made again from the blob or the net. */
async function readRecord<T extends { v: number }>(path: string): Promise<T | undefined> {
  const text = await readOwnFile(path, { maxBytes: 64 * 1024 });
  if (text === undefined) return undefined;
  try {
    const value = JSON.parse(text) as T | null;
    return value?.v === 1 ? value : undefined;
  } catch {
    return undefined;
  }
}

function parent(path: string): string {
  return path.slice(0, path.lastIndexOf("/")) || "/";
}
