/**
 * Hashing image files, and knowing when it need not be done: a file whose inode, size and mtime are
 * those of its last full hash is taken for unchanged when a machine starts, and hashed alongside the
 * boot (SPEC section 4). A gigabyte takes half a second, but not on a cold disk.
 */
import { createHash } from "../base/hash.ts";
import { RumError } from "../base/errors.ts";
import { fileError } from "./ownership.ts";
import {
  type ImageLayout,
  readBlob,
  sameStamp,
  stampOf,
  withBlobsLock,
  writeBlob,
} from "./image_layout.ts";
import type { CachedImage, OnProgress } from "./image_types.ts";

const CHUNK = 1024 * 1024;

export interface HashOptions {
  readonly signal?: AbortSignal;
  readonly progress?: OnProgress;
}

/** SHA-256 of a file, 64 hex digits. Yields between chunks: the caller's thread stays responsive. */
export async function hashFile(path: string, options: HashOptions = {}): Promise<string> {
  const hash = createHash("sha256");
  try {
    using file = await Deno.open(path, { read: true });
    const total = (await file.stat()).size;
    const buffer = new Uint8Array(CHUNK);
    for (let bytes = 0;;) {
      options.signal?.throwIfAborted();
      const n = await file.read(buffer);
      if (n === null) break;
      hash.update(buffer.subarray(0, n));
      options.progress?.({ stage: "hash", bytes: bytes += n, total });
    }
  } catch (error) {
    if (options.signal?.aborted) throw options.signal.reason;
    throw fileError(error, `Cannot read "${path}"`);
  }
  return hash.digest("hex");
}

/**
 * Hashes a cached image in full and remembers the result.
 *
 * @throws {RumError} `image_checksum` when its bytes are not what its name says
 * @throws {RumError} `image_not_found` when it is gone
 */
export async function verifyImage(
  layout: ImageLayout,
  image: CachedImage,
  options: HashOptions = {},
): Promise<void> {
  const before = await stampOf(image.path);
  if (before === undefined) {
    throw new RumError("image_not_found", `Cannot verify "${image.path}": it is not there`);
  }
  const found = await hashFile(image.path, options);
  if (found !== image.digest) {
    throw new RumError(
      "image_checksum",
      `The cached image "${image.path}" has changed: its SHA-256 is ${found}, and its name says ` +
        image.digest,
      { hint: `rum image rm ${image.digest.slice(0, 12)}`, data: { digest: image.digest, found } },
    );
  }
  // Under the lock, because the record also says that a machine was just given this image.
  await withBlobsLock(layout, `verify image ${image.digest.slice(0, 12)}`, async () => {
    // Changed or removed while it was read: not remembered, so that the next one hashes again.
    if (!sameStamp(before, await stampOf(image.path))) return;
    const record = await readBlob(layout, image.digest);
    await writeBlob(layout, {
      ...record,
      v: 1,
      digest: image.digest,
      format: image.format,
      size: image.size,
      virtual_size: image.virtualSizeBytes,
      stat: before,
      hashed_at: new Date().toISOString(),
    });
  });
}

/** Full hash only when inode, mtime or size differ from the last one. True = it was hashed now. */
export async function verifyIfChanged(
  layout: ImageLayout,
  image: CachedImage,
  options: HashOptions = {},
): Promise<boolean> {
  const record = await readBlob(layout, image.digest);
  if (sameStamp(record?.stat, await stampOf(image.path))) return false;
  await verifyImage(layout, image, options);
  return true;
}
