/**
 * A path image → a copy in the cache, by digest. Neither a hard link nor a reflink: a link would let
 * whoever writes the original write into every machine's base, and both would leave its owner and
 * mode in charge. Holes stay holes.
 */
import { createHash } from "../base/hash.ts";
import { RumError } from "../base/errors.ts";
import { adoptFile } from "./image_adopt.ts";
import type { EnsuredImage } from "./image_ensure.ts";
import { requireFreeSpace } from "./free_space.ts";
import { inspectImage } from "./image_inspect.ts";
import {
  blobFiles,
  type ImageLayout,
  readBlob,
  readSource,
  removeIfThere,
  sameStamp,
  sourceKey,
  writeSource,
} from "./image_layout.ts";
import { fileError } from "./ownership.ts";
import type { FileStamp, OnProgress } from "./image_types.ts";

export interface ImportOptions {
  readonly source: string;
  readonly path: string;
  readonly signal?: AbortSignal;
  readonly progress?: OnProgress;
}

const CHUNK = 1024 * 1024;

export async function importFile(
  layout: ImageLayout,
  options: ImportOptions,
): Promise<EnsuredImage> {
  const { source, path } = options;
  const stat = await statFollowing(path);
  const record = await readSource(layout, source);
  if (record !== undefined && sameStamp(record.stat, stat)) {
    const file = (await blobFiles(layout)).find((blob) => blob.digest === record.digest);
    const blob = await readBlob(layout, record.digest);
    if (file !== undefined && blob !== undefined) {
      const { size, virtual_size: virtualSizeBytes } = blob;
      return {
        ...file,
        size,
        virtualSizeBytes,
        source,
        verifiedBy: "local",
        cached: true,
        notes: [],
      };
    }
  }
  // Looked at before a gigabyte is copied, and again afterwards: it may change meanwhile.
  await inspectImage(path, path);
  const part = `${layout.partial}/${await sourceKey(source)}.part`;
  try {
    await removeIfThere(part);
    const digest = await copyHashing(path, part, stat, options);
    if (!sameStamp(stat, await statFollowing(path))) {
      throw new RumError(
        "image_corrupt",
        `Cannot use the image ${path}: it changed while it was read`,
      );
    }
    const inspected = await inspectImage(part, path);
    const image = await adoptFile(layout, { from: part, digest, ...inspected });
    await writeSource(layout, {
      v: 1,
      source,
      name: path,
      digest,
      format: image.format,
      size: image.size,
      virtual_size: image.virtualSizeBytes,
      verified_by: "local",
      fetched_at: new Date().toISOString(),
      stat,
    });
    return { ...image, source, verifiedBy: "local", cached: false, notes: [] };
  } finally {
    await removeIfThere(part);
  }
}

async function copyHashing(
  from: string,
  to: string,
  stat: FileStamp,
  { signal, progress }: ImportOptions,
): Promise<string> {
  const { blocks } = await Deno.stat(from);
  const onDisk = Math.min(stat.size, (blocks ?? Infinity) * 512);
  await requireFreeSpace(to, onDisk, `Cannot copy the image "${from}" into the cache`);
  const hash = createHash("sha256");
  try {
    using input = await Deno.open(from, { read: true });
    using output = await Deno.open(to, { write: true, createNew: true, mode: 0o600 });
    const buffer = new Uint8Array(CHUNK);
    for (let bytes = 0;;) {
      signal?.throwIfAborted();
      const n = await input.read(buffer);
      if (n === null) break;
      const chunk = buffer.subarray(0, n);
      hash.update(chunk);
      if (isZero(chunk)) await output.seek(n, Deno.SeekMode.Current);
      else for (let at = 0; at < n;) at += await output.write(chunk.subarray(at));
      progress?.({ stage: "import", bytes: bytes += n, total: stat.size });
    }
    await output.truncate(stat.size);
    await output.sync();
  } catch (error) {
    if (signal?.aborted) throw signal.reason;
    throw fileError(error, `Cannot copy the image "${from}" into the cache`);
  }
  return hash.digest("hex");
}

function isZero(chunk: Uint8Array): boolean {
  for (let i = 0; i < chunk.length; i++) if (chunk[i] !== 0) return false;
  return true;
}

async function statFollowing(path: string): Promise<FileStamp> {
  try {
    const info = await Deno.stat(path);
    if (!info.isFile) {
      throw new RumError("image_refused", `Cannot use the image ${path}: it is not a regular file`);
    }
    return { ino: info.ino ?? 0, size: info.size, mtime_ms: info.mtime?.getTime() ?? 0 };
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) {
      throw new RumError("image_not_found", `Cannot find the image "${path}"`, { cause: error });
    }
    throw fileError(error, `Cannot look at the image "${path}"`);
  }
}
