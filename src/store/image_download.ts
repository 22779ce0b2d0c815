/**
 * A URL → a complete file with known digests, resumable across processes and crashes.
 *
 *   partial/<key>.part   the bytes so far
 *   partial/<key>.json   of which URL and which version (etag or last-modified) they are
 *
 * A later try asks for the rest with Range and If-Range, so that a server whose file has changed
 * sends all of the new one instead of its second half. What was there already is hashed again: after
 * a crash nobody knows which of its bytes reached the disk, and the digest at the end decides.
 */
import { createHash } from "../base/hash.ts";
import { RumError } from "../base/errors.ts";
import { backOffMs } from "../base/schedule.ts";
import { systemClock } from "../base/clock.ts";
import { writeFileAtomic } from "./atomic.ts";
import { fileError } from "./ownership.ts";
import { requireFreeSpace } from "./free_space.ts";
import {
  type Fetch,
  networkError,
  request,
  STALL_MS,
  stallWatch,
  Unreachable,
  untilAborted,
} from "./image_fetch.ts";
import { rejectOtherKinds } from "./image_inspect.ts";
import { removeIfThere } from "./image_layout.ts";
import {
  discardPartial,
  hashPrefix,
  openPart,
  readSidecar,
  type Sidecar,
  sizeOf,
} from "./image_part.ts";
import type { OnProgress } from "./image_types.ts";

export interface DownloadOptions {
  readonly url: string;
  /** How sentences call it. */
  readonly what: string;
  /** `partial/<key>`, without the ending. */
  readonly stem: string;
  readonly allowHttp: boolean;
  readonly signal?: AbortSignal;
  readonly progress?: OnProgress;
  readonly fetch?: Fetch;
  readonly stallMs?: number;
  /** Tries after the first, when the connection breaks. */
  readonly retries?: number;
  readonly retryDelayMs?: number;
}

export interface Downloaded {
  readonly path: string;
  readonly size: number;
  readonly sha256: string;
  readonly sha512: string;
  readonly etag?: string;
}

const PROGRESS_MS = 200;
/** Enough of a head to know an error page by. */
const HEAD = 1024;

export async function download(options: DownloadOptions): Promise<Downloaded> {
  const { retries = 3, retryDelayMs = 1000, signal } = options;
  for (let attempt = 1;; attempt++) {
    try {
      return await attemptDownload(options);
    } catch (error) {
      if (!(error instanceof Unreachable) || attempt > retries) {
        throw await finalError(error, options);
      }
      const policy = { kind: "exponential", firstMs: retryDelayMs, maxMs: 10_000 } as const;
      // A name that does not resolve will not in a second: only broken connections are retried.
      if (/does not resolve|onnection refused/.test(error.message)) throw error;
      await systemClock.sleep(backOffMs(policy, attempt), { signal });
    }
  }
}

async function attemptDownload(options: DownloadOptions): Promise<Downloaded> {
  const { url, what, stem, allowHttp } = options;
  const part = `${stem}.part`;
  const sidecar = await readSidecar(`${stem}.json`);
  const have = sidecar?.url === url && sidecar.validator !== undefined ? await sizeOf(part) : 0;
  using watch = stallWatch(what, options.stallMs ?? STALL_MS, options.signal);
  const response = await request(url, {
    signal: watch.signal,
    allowHttp,
    fetch: options.fetch,
    headers: have > 0 ? { range: `bytes=${have}-`, "if-range": sidecar!.validator! } : {},
  });
  watch.alive();
  if (response.status === 416) {
    // The part has all bytes or more: complete or useless, and only starting over can tell.
    await response.body?.cancel().catch(() => {});
    await discardPartial(stem);
    return await attemptDownload(options);
  }
  const range = response.status === 206 ? contentRange(response) : undefined;
  if (response.status === 206 && range?.start !== have) {
    await response.body?.cancel().catch(() => {});
    await discardPartial(stem);
    throw new Unreachable(`Cannot resume ${url}: the server sent another range than asked for`);
  }
  const start = range?.start ?? 0;
  const length = Number(response.headers.get("content-length") ?? NaN);
  const total = range?.total ?? (Number.isSafeInteger(length) ? start + length : undefined);
  const etag = response.headers.get("etag") ?? undefined;
  try {
    refusePage(response, what);
    if (total !== undefined) await requireFreeSpace(stem, total - start, `Cannot fetch ${what}`);
    if (start === 0) {
      await removeIfThere(part);
      const mark: Sidecar = { v: 1, url, validator: validatorOf(response) };
      await writeFileAtomic(`${stem}.json`, JSON.stringify(mark));
    }
    return { ...await receive(response, { ...options, part, start, total, watch }), etag };
  } catch (error) {
    await response.body?.cancel().catch(() => {});
    // What is no image, or does not fit, is not worth keeping for a resume.
    if (
      error instanceof RumError &&
      ["image_refused", "image_corrupt", "disk_full"].includes(error.code)
    ) await discardPartial(stem);
    throw error;
  }
}

interface ReceiveOptions extends DownloadOptions {
  readonly part: string;
  readonly start: number;
  readonly total: number | undefined;
  readonly watch: { signal: AbortSignal; alive: () => void };
}

async function receive(
  response: Response,
  options: ReceiveOptions,
): Promise<Omit<Downloaded, "etag">> {
  const { part, start, total, watch, what, url, progress } = options;
  const hashes = [createHash("sha256"), createHash("sha512")];
  const action = `Cannot write the download "${part}"`;
  let bytes = start;
  let head = new Uint8Array();
  using file = await openPart(part, start, action);
  if (start > 0) await hashPrefix(file, start, hashes, watch);
  const begun = performance.now();
  let told = 0;
  const tell = (now: number) => {
    told = now;
    const seconds = (now - begun) / 1000;
    progress?.({
      stage: "fetch",
      bytes,
      total,
      ...(seconds > 0.5 ? { bytesPerSecond: Math.round((bytes - start) / seconds) } : {}),
    });
  };
  const reader = (response.body ?? new Blob([]).stream()).getReader();
  try {
    for (;;) {
      let chunk: Uint8Array | undefined;
      try {
        ({ value: chunk } = await untilAborted(reader.read(), watch.signal));
      } catch (error) {
        throw networkError(error, url, watch.signal);
      }
      if (chunk === undefined) break;
      watch.alive();
      if (start === 0 && head.length < HEAD) {
        head = concat(head, chunk.subarray(0, HEAD - head.length));
        if (head.length >= HEAD) rejectOtherKinds(head, what);
      }
      for (const hash of hashes) hash.update(chunk);
      try {
        for (let at = 0; at < chunk.length;) at += await file.write(chunk.subarray(at));
      } catch (error) {
        throw fileError(error, action);
      }
      bytes += chunk.length;
      const now = performance.now();
      if (now - told >= PROGRESS_MS) tell(now);
    }
  } finally {
    await reader.cancel().catch(() => {});
  }
  tell(performance.now());
  if (start === 0 && head.length < HEAD) rejectOtherKinds(head, what);
  if (total !== undefined && bytes !== total) {
    throw new Unreachable(`The download of ${what} ended after ${bytes} of ${total} bytes`);
  }
  try {
    await file.sync();
  } catch (error) {
    throw fileError(error, action);
  }
  return {
    path: part,
    size: bytes,
    sha256: hashes[0].digest("hex"),
    sha512: hashes[1].digest("hex"),
  };
}

/** A body that ended too early, and went on doing so, is a truncated image by its right name. */
async function finalError(error: unknown, options: DownloadOptions): Promise<unknown> {
  if (!(error instanceof Unreachable)) return error;
  const size = await sizeOf(`${options.stem}.part`);
  if (size === 0) return error;
  return new RumError(
    "image_corrupt",
    `The download of ${options.what} is truncated: it broke off again and again, last after ` +
      `${size} bytes`,
    { cause: error, hint: "run it again: it goes on where it stopped" },
  );
}

function refusePage(response: Response, what: string): void {
  const type = response.headers.get("content-type") ?? "";
  if (!/^(text\/html|application\/xhtml)/i.test(type)) return;
  throw new RumError(
    "image_corrupt",
    `Cannot use the image ${what}: the server answered with a web page instead of an image`,
  );
}

/** A strong etag, else the date: If-Range takes nothing weaker. */
function validatorOf(response: Response): string | undefined {
  const etag = response.headers.get("etag");
  if (etag !== null && !etag.startsWith("W/")) return etag;
  return response.headers.get("last-modified") ?? undefined;
}

function contentRange(
  response: Response,
): { start: number; total: number | undefined } | undefined {
  const match = /^bytes (\d+)-\d+\/(\d+|\*)$/.exec(response.headers.get("content-range") ?? "");
  if (match === null) return undefined;
  return { start: Number(match[1]), total: match[2] === "*" ? undefined : Number(match[2]) };
}

function concat(a: Uint8Array, b: Uint8Array): Uint8Array<ArrayBuffer> {
  const both = new Uint8Array(a.length + b.length);
  both.set(a);
  both.set(b, a.length);
  return both;
}
