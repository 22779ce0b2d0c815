/**
 * The cache as a whole: what is in it, and taking things out without ever taking away the base that
 * a machine stands on.
 */
import { RumError } from "../base/errors.ts";
import { nearest } from "../base/typo.ts";
import type { RumPaths } from "../plan/paths.ts";
import { inUse } from "./image_in_use.ts";
import {
  allSources,
  blobFiles,
  type ImageLayout,
  imageLayout,
  namesIn,
  prepareCache,
  readBlob,
  removeIfThere,
  removeSource,
  stampOf,
  withBlobsLock,
} from "./image_layout.ts";
import { inspectImage } from "./image_inspect.ts";
import { describeHolder, tryFlock } from "./flock.ts";
import type { BlobRecord, CachedImage, SourceRecord } from "./image_types.ts";

export interface ListedImage extends CachedImage {
  /** Short names, URLs, paths that lead to it; none after its record was lost or replaced. */
  readonly names: readonly string[];
  readonly sources: readonly SourceRecord[];
  readonly usedBy: readonly string[];
  readonly handedOutAt?: string;
}

/** A machine that was given an image has made its disk long before this is over. */
const HANDED_OUT_MS = 60_000;

export async function listImages(paths: RumPaths): Promise<ListedImage[]> {
  const layout = imageLayout(paths);
  const records = await allSources(layout);
  const users = await inUse(paths);
  const listed: ListedImage[] = [];
  for (const file of await blobFiles(layout)) {
    const blob = await readBlob(layout, file.digest) ?? await describeBlob(file);
    if (blob === undefined) continue;
    const sources = records.filter((record) => record.digest === file.digest);
    listed.push({
      ...file,
      size: blob.size,
      virtualSizeBytes: blob.virtual_size,
      names: [...new Set(sources.map((record) => record.name))],
      sources,
      usedBy: users.get(file.digest) ?? [],
      ...(blob.handed_out_at === undefined ? {} : { handedOutAt: blob.handed_out_at }),
    });
  }
  return listed;
}

/**
 * The image that `text` means: a name, URL, path, or the first digits (≥ 6) of its digest.
 *
 * @throws {RumError} `image_not_found`; `invalid_params` when it means several
 */
export async function findImages(paths: RumPaths, text: string): Promise<ListedImage[]> {
  const images = await listImages(paths);
  const named = images.filter((image) => image.names.includes(text));
  const hex = text.replace(/^sha256[:-]/, "");
  const byDigest = /^[0-9a-f]{6,64}$/.test(hex)
    ? images.filter((image) => image.digest.startsWith(hex))
    : [];
  const found = named.length > 0 ? named : byDigest;
  if (named.length === 0 && byDigest.length > 1) {
    throw new RumError(
      "invalid_params",
      `"${text}" is the start of ${byDigest.length} digests, want more of it`,
      { hint: "rum image ls" },
    );
  }
  if (found.length > 0) return found;
  const near = nearest(text, images.flatMap((image) => image.names));
  throw new RumError(
    "image_not_found",
    `There is no image "${text}" in the cache${
      near === undefined ? "" : `; did you mean "${near}"?`
    }`,
    { hint: "rum image ls" },
  );
}

/** @throws {RumError} `image_in_use` when a machine stands on it, with the machines' ids */
export async function removeImage(paths: RumPaths, image: ListedImage): Promise<void> {
  const layout = await prepareCache(paths);
  await withBlobsLock(layout, `remove image ${nameOf(image)}`, () => remove(paths, layout, image));
}

async function remove(paths: RumPaths, layout: ImageLayout, image: ListedImage): Promise<void> {
  // Asked again at the last moment: the list may be minutes old by now (a question was answered).
  const users = (await inUse(paths)).get(image.digest) ?? [];
  const handedOut = await readBlob(layout, image.digest);
  if (users.length > 0 || wasJustHandedOut(handedOut)) {
    const who = users.length > 0
      ? `the disk of ${users.length === 1 ? "machine" : "machines"} ${
        users.join(", ")
      } stands on it`
      : "a machine that is being made has just been given it";
    throw new RumError(
      "image_in_use",
      `Cannot remove the image ${nameOf(image)}: ${who}`,
      { hint: users.length > 0 ? `rum -m ${users[0]} destroy` : "rum list", data: { users } },
    );
  }
  // Records first: a crash in between leaves a file that nothing names, and prune takes it.
  for (const record of image.sources) await removeSource(layout, record.source);
  await removeIfThere(`${layout.blobs}/${image.digest}.json`);
  await removeIfThere(image.path);
}

export interface Pruned {
  readonly removed: readonly ListedImage[];
  readonly kept: readonly ListedImage[];
  readonly freedBytes: number;
}

/** Removes every image that no machine stands on, parts nobody is downloading, and build stages. */
export async function pruneImages(paths: RumPaths): Promise<Pruned> {
  const layout = await prepareCache(paths);
  const removed: ListedImage[] = [];
  const kept: ListedImage[] = [];
  let freedBytes = 0;
  for (const image of await listImages(paths)) {
    try {
      await removeImage(paths, image);
      removed.push(image);
      freedBytes += image.size;
    } catch (error) {
      if (!(error instanceof RumError) || error.code !== "image_in_use") throw error;
      kept.push(image);
    }
  }
  return { removed, kept, freedBytes: freedBytes + await pruneLeftovers(layout) };
}

/** Parts and stages whose lock is free belong to nobody. */
async function pruneLeftovers(layout: ImageLayout): Promise<number> {
  let freed = 0;
  for (const folder of [layout.partial, layout.stages]) {
    const keys = new Set((await namesIn(folder)).map((name) => name.split(".")[0]));
    for (const key of keys) {
      const holder = await describeHolder({ role: "one-shot", operation: "prune images" });
      await using lock = await tryFlock(`${layout.locks}/${key}.lock`, holder);
      if (lock === undefined) continue;
      for (const name of await namesIn(folder)) {
        if (name.split(".")[0] !== key) continue;
        freed += (await stampOf(`${folder}/${name}`))?.size ?? 0;
        await Deno.remove(`${folder}/${name}`, { recursive: true }).catch(() => {});
      }
    }
  }
  return freed;
}

export function nameOf(image: ListedImage): string {
  const digest = image.digest.slice(0, 12);
  return image.names.length === 0 ? digest : `${image.names[0]} (${digest})`;
}

function wasJustHandedOut(blob: BlobRecord | undefined): boolean {
  if (blob?.handed_out_at === undefined) return false;
  const age = Date.now() - Date.parse(blob.handed_out_at);
  return age >= 0 && age < HANDED_OUT_MS;
}

/** A file without its record (a crash between the two): still listed, so that it can be removed. */
async function describeBlob(
  file: { digest: string; format: CachedImage["format"]; path: string },
): Promise<BlobRecord | undefined> {
  const stat = await stampOf(file.path);
  if (stat === undefined) return undefined;
  const inspected = await inspectImage(file.path, file.path).catch(() => undefined);
  return {
    v: 1,
    digest: file.digest,
    format: file.format,
    size: stat.size,
    virtual_size: inspected?.virtualSizeBytes ?? stat.size,
    stat,
    hashed_at: "",
  };
}
