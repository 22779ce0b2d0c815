/**
 * `image.base` → a verified, read-only image in the cache. The one way in: `up`, `image pull` and
 * the tests call this.
 *
 *   name   from the catalogue; a download in the cache serves, else one that was built here, else
 *          it is fetched (a host without network that built the image needs no network again)
 *   url    fetched once; image.sha256, else the pin in rum.lock, else pinned now
 *   path   copied into the cache, so that a machine never stands on a file that may change under it;
 *          copied again only when its inode, size or mtime change. Not pinned: it is the user's own
 *
 * Per source one lock: of two processes that want one image, one fetches and the other finds it.
 */
import { type ErrorCode, RumError } from "../base/errors.ts";
import { checksumFor } from "../image/checksums.ts";
import { lookUpEntry, sourceFor } from "../image/catalogue.ts";
import type { ImageConfig } from "../config/types.ts";
import type { Arch } from "../plan/types.ts";
import type { RumPaths } from "../plan/paths.ts";
import { importFile } from "./image_import.ts";
import { type Candidate, fetchFirst } from "./image_pull.ts";
import { verifyIfChanged, verifyImage } from "./image_hash.ts";
import {
  blobFiles,
  type ImageLayout,
  prepareCache,
  readBlob,
  readSource,
  sourceKey,
  stampOf,
  withBlobsLock,
  withSourceLock,
  writeBlob,
} from "./image_layout.ts";
import { discardOrphan } from "./image_part.ts";
import type { CachedImage, OnProgress, VerifiedBy } from "./image_types.ts";
import { addPin, readPins } from "./rum_lock.ts";
import { type Fetch, requestText } from "./image_fetch.ts";

export interface EnsureImageOptions {
  readonly image: ImageConfig;
  readonly arch: Arch;
  readonly paths: RumPaths;
  /** `rum.lock` beside rum.toml; absent for a command without a project: then nothing is pinned. */
  readonly lockFile?: string;
  /** A machine is about to stand on it: `prune` leaves it alone until its disk is there. */
  readonly forMachine?: boolean;
  /** Fetch again even if a download is in the cache (`image pull`). */
  readonly refresh?: boolean;
  readonly signal?: AbortSignal;
  readonly progress?: OnProgress;
  /** How long to wait for another process's download of the same image. */
  readonly lockDeadlineMs?: number;
  readonly fetch?: Fetch;
  readonly stallMs?: number;
  readonly retries?: number;
  readonly retryDelayMs?: number;
}

export interface EnsuredImage extends CachedImage {
  readonly source: string;
  readonly verifiedBy: VerifiedBy;
  /** It was in the cache; its full hash is still to be checked: `verifyInBackground`. */
  readonly cached: boolean;
  /** Sentences for the user: a built image serves, a pin could not be written. */
  readonly notes: readonly string[];
}

const LOCK_DEADLINE_MS = 2 * 60 * 60_000;
const ATTEMPTS_MAX = 3;
/** A rum.lock that is not ours to write, or whose place something else took: no reason to fail. */
const CANNOT_PIN: readonly ErrorCode[] = ["permission_denied", "not_owner", "state_invalid"];

/**
 * @throws {RumError} `image_not_found`, `image_download`, `image_stalled`, `image_checksum`,
 * `image_corrupt`, `image_refused`, `disk_full`, `busy`; nothing of a failed image stays but a
 * resumable part
 */
export async function ensureImage(options: EnsureImageOptions): Promise<EnsuredImage> {
  const { image, paths, signal, arch } = options;
  const layout = await prepareCache(paths);
  const source = sourceOf(image, arch);
  for (let attempt = 1;; attempt++) {
    const ensured = await find(layout, source, options);
    checkConfigDigest(ensured, image);
    try {
      if (ensured.cached) {
        await verifyIfChanged(layout, ensured, { signal, progress: options.progress });
      }
      if (options.forMachine) await handOut(layout, ensured);
      return ensured;
    } catch (error) {
      // Taken away by a prune before that could know of us: it is fetched once more.
      const gone = error instanceof RumError && error.code === "image_not_found";
      if (!gone || attempt === ATTEMPTS_MAX) throw error;
    }
  }
}

async function find(
  layout: ImageLayout,
  source: string,
  options: EnsureImageOptions,
): Promise<EnsuredImage> {
  const { image, signal } = options;
  return await withSourceLock(layout, source, {
    operation: `fetch image ${image.base}`,
    deadlineMs: options.lockDeadlineMs ?? LOCK_DEADLINE_MS,
    signal,
  }, async () => {
    switch (image.kind) {
      case "path":
        return await importFile(layout, { source, path: image.base, ...options });
      case "name":
        return await ensureNamed(layout, source, options);
      case "url":
        return await ensureUrl(layout, source, options);
    }
  });
}

/**
 * The full hash that `ensureImage` spared a cached image, to run alongside the boot.
 *
 * @throws {RumError} `image_checksum` when the bytes have changed
 */
export async function verifyInBackground(
  paths: RumPaths,
  image: CachedImage,
  options: { signal?: AbortSignal } = {},
): Promise<void> {
  await verifyImage(await prepareCache(paths), image, options);
}

export function sourceOf(image: ImageConfig, arch: Arch): string {
  switch (image.kind) {
    case "name":
      return `name:${lookUpEntry(image.base).name}/${arch}`;
    case "url":
      return `url:${image.base}`;
    case "path":
      return `path:${image.base}`;
  }
}

/** The record's source under which a built image is kept. */
export function builtSource(name: string, arch: Arch): string {
  return `built:${name}/${arch}`;
}

async function ensureNamed(
  layout: ImageLayout,
  source: string,
  options: EnsureImageOptions,
): Promise<EnsuredImage> {
  const { image, arch } = options;
  const entry = lookUpEntry(image.base);
  if (!options.refresh) {
    const downloaded = await fromCache(layout, source, image);
    if (downloaded !== undefined) return downloaded;
    const built = await fromCache(layout, builtSource(entry.name, arch), image);
    if (built !== undefined) {
      return {
        ...built,
        notes: [
          `${entry.name} is the image built on this host; "rum image pull ${entry.name}" ` +
          "fetches the distributor's",
        ],
      };
    }
  }
  const { urls, checksumUrls } = sourceFor(entry, arch);
  const candidates = urls.map((url, i): Candidate => ({
    url,
    allowHttp: true,
    expected: async (signal) => {
      if (image.sha256 !== undefined) return { algorithm: "sha256", hex: image.sha256 };
      const file = url.slice(url.lastIndexOf("/") + 1);
      // Always https: this text is what a body that came by a plain mirror is measured against.
      const text = await requestText(checksumUrls[i], {
        signal,
        allowHttp: false,
        fetch: options.fetch,
        stallMs: options.stallMs,
      });
      const found = checksumFor(text, file);
      if (found !== undefined) return found;
      throw new RumError(
        "image_checksum",
        `Cannot verify ${entry.name}: ${checksumUrls[i]} has no checksum for ${file}`,
        { hint: "set image.sha256 in rum.toml" },
      );
    },
  }));
  try {
    const verifiedBy = image.sha256 === undefined ? "distributor" : "config";
    return await fetchFirst(layout, {
      ...options,
      source,
      name: entry.name,
      candidates,
      verifiedBy,
    });
  } catch (error) {
    throw entry.buildable ? withBuildHint(error, entry.name) : error;
  }
}

async function ensureUrl(
  layout: ImageLayout,
  source: string,
  options: EnsureImageOptions,
): Promise<EnsuredImage> {
  const { image, lockFile } = options;
  const url = image.base;
  const pin = image.sha256 === undefined && lockFile !== undefined
    ? (await readPins(lockFile)).get(url)
    : undefined;
  const wanted = image.sha256 ?? pin;
  const cached = options.refresh ? undefined : await fromCache(layout, source, image, wanted);
  const verifiedBy = image.sha256 !== undefined
    ? "config"
    : pin !== undefined
    ? "rum.lock"
    : "first_use";
  const ensured = cached ?? await fetchFirst(layout, {
    ...options,
    source,
    name: url,
    verifiedBy,
    candidates: [{
      url,
      allowHttp: image.sha256 !== undefined,
      expected: () =>
        Promise.resolve(wanted === undefined ? undefined : { algorithm: "sha256", hex: wanted }),
      wantedBy: pin === undefined ? "image.sha256" : `the pin in ${lockFile}`,
    }],
  });
  if (wanted !== undefined || lockFile === undefined) return { ...ensured, verifiedBy };
  try {
    await addPin(lockFile, url, ensured.digest);
    return { ...ensured, verifiedBy };
  } catch (error) {
    if (!(error instanceof RumError) || !CANNOT_PIN.includes(error.code)) throw error;
    const note = `${url} could not be pinned, its bytes may change unnoticed: ${error.message}`;
    return { ...ensured, verifiedBy, notes: [...ensured.notes, note] };
  }
}

/** What the records say is there, if it is, and if it is what is wanted now. */
async function fromCache(
  layout: ImageLayout,
  source: string,
  image: ImageConfig,
  wanted: string | undefined = image.sha256,
): Promise<EnsuredImage | undefined> {
  const record = await readSource(layout, source);
  const digest = wanted ?? record?.digest;
  if (digest === undefined) return undefined;
  // A wanted digest that is in the cache serves, whichever source brought it.
  const file = (await blobFiles(layout)).find((blob) => blob.digest === digest);
  if (file === undefined) return undefined;
  const blob = await readBlob(layout, digest);
  if (blob === undefined) return undefined;
  await discardOrphan(`${layout.partial}/${await sourceKey(source)}`);
  return {
    ...file,
    size: blob.size,
    virtualSizeBytes: blob.virtual_size,
    source,
    verifiedBy: wanted === image.sha256 && wanted !== undefined
      ? "config"
      : record?.verified_by ?? "config",
    cached: true,
    notes: [],
  };
}

function checkConfigDigest(ensured: EnsuredImage, image: ImageConfig): void {
  if (image.sha256 === undefined || image.sha256 === ensured.digest) return;
  throw new RumError(
    "image_checksum",
    `The image ${image.base} has SHA-256 ${ensured.digest}, and image.sha256 wants ${image.sha256}`,
    { data: { found: ensured.digest, wanted: image.sha256 } },
  );
}

/** @throws {RumError} `image_not_found` when it is not there any more */
async function handOut(layout: ImageLayout, image: EnsuredImage): Promise<void> {
  await withBlobsLock(layout, `hand out image ${image.digest.slice(0, 12)}`, async () => {
    const blob = await readBlob(layout, image.digest);
    if (blob === undefined || await stampOf(image.path) === undefined) {
      throw new RumError("image_not_found", `The image "${image.path}" was removed meanwhile`, {
        hint: "rum image ls",
      });
    }
    await writeBlob(layout, { ...blob, handed_out_at: new Date().toISOString() });
  });
}

function withBuildHint(error: unknown, name: string): unknown {
  if (!(error instanceof RumError) || error.code !== "image_download") return error;
  return new RumError(error.code, error.message, {
    cause: error.cause,
    data: error.data,
    hint: `rum image build ${name}`,
  });
}
