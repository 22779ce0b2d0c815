/**
 * The first of some URLs that has the image → checked, inspected, moved into the cache, recorded.
 * Runs under the source's lock. What fails leaves nothing but, where that is worth it, a part.
 */
import { RumError } from "../base/errors.ts";
import type { Checksum } from "../image/checksums.ts";
import { adoptFile } from "./image_adopt.ts";
import { download, type Downloaded } from "./image_download.ts";
import { discardPartial } from "./image_part.ts";
import type { EnsuredImage } from "./image_ensure.ts";
import type { Fetch } from "./image_fetch.ts";
import { inspectImage } from "./image_inspect.ts";
import { type ImageLayout, sourceKey, writeSource } from "./image_layout.ts";
import type { OnProgress, VerifiedBy } from "./image_types.ts";

export interface Candidate {
  readonly url: string;
  /** What the bytes must hash to; undefined = pinned on first use. */
  readonly expected: (signal: AbortSignal) => Promise<Checksum | undefined>;
  /** Plain http may carry it: its digest came from rum.toml, or over https from the distributor.
   * A pin is not enough, because the guest may be able to write rum.lock. */
  readonly allowHttp: boolean;
  /** Who wants it, in the sentence of a mismatch. */
  readonly wantedBy?: string;
}

export interface FetchFirstOptions {
  readonly source: string;
  readonly name: string;
  readonly candidates: readonly Candidate[];
  readonly verifiedBy: VerifiedBy;
  readonly signal?: AbortSignal;
  readonly progress?: OnProgress;
  readonly fetch?: Fetch;
  readonly stallMs?: number;
  readonly retries?: number;
  readonly retryDelayMs?: number;
}

export async function fetchFirst(
  layout: ImageLayout,
  options: FetchFirstOptions,
): Promise<EnsuredImage> {
  for (const [i, candidate] of options.candidates.entries()) {
    try {
      return await fetchOne(layout, candidate, options);
    } catch (error) {
      const last = i === options.candidates.length - 1;
      if (last || !(error instanceof RumError) || error.code !== "image_not_found") throw error;
    }
  }
  throw new RumError("image_not_found", `Cannot fetch ${options.name}: it has no address`);
}

async function fetchOne(
  layout: ImageLayout,
  candidate: Candidate,
  options: FetchFirstOptions,
): Promise<EnsuredImage> {
  const { source, name, signal } = options;
  const { url, allowHttp } = candidate;
  const what = name === url ? url : `${name} (${url})`;
  const stem = `${layout.partial}/${await sourceKey(source)}`;
  const expected = await candidate.expected(signal ?? new AbortController().signal);
  const got = await download({ ...options, url, what, stem, allowHttp });
  try {
    requireDigest(got, expected, what, candidate.wantedBy);
    const { format, virtualSizeBytes } = await inspectImage(got.path, what);
    const image = await adoptFile(layout, {
      from: got.path,
      digest: got.sha256,
      format,
      virtualSizeBytes,
    });
    const etag = got.etag === undefined ? {} : { etag: got.etag };
    const other = expected?.algorithm === "sha512" ? { checksum: expected } : {};
    await writeSource(layout, {
      v: 1,
      source,
      name,
      url,
      ...etag,
      digest: image.digest,
      format,
      size: image.size,
      virtual_size: virtualSizeBytes,
      verified_by: options.verifiedBy,
      fetched_at: new Date().toISOString(),
      ...other,
    });
    return { ...image, source, verifiedBy: options.verifiedBy, cached: false, notes: [] };
  } finally {
    // Adopted, or complete and wrong: in neither case is there anything to resume.
    await discardPartial(stem);
  }
}

function requireDigest(
  got: Downloaded,
  expected: Checksum | undefined,
  what: string,
  wantedBy = "its checksum file",
): void {
  if (expected === undefined) return;
  const found = got[expected.algorithm];
  if (found === expected.hex) return;
  throw new RumError(
    "image_checksum",
    `Cannot use the image ${what}: its ${expected.algorithm.toUpperCase()} is ${found}, and ` +
      `${wantedBy} wants ${expected.hex}`,
    { data: { found, wanted: expected.hex, algorithm: expected.algorithm } },
  );
}
