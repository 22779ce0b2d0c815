/**
 * A complete, checked file → a blob of the cache: read-only, named by its digest, by one rename.
 * The file must lie in the cache's own file system and be ours alone.
 */
import { fileError } from "./ownership.ts";
import { syncFolder } from "./atomic.ts";
import {
  blobPath,
  type ImageLayout,
  readBlob,
  stampOf,
  withBlobsLock,
  writeBlob,
} from "./image_layout.ts";
import type { CachedImage, ImageFormat } from "./image_types.ts";

export interface AdoptOptions {
  readonly from: string;
  readonly digest: string;
  readonly format: ImageFormat;
  readonly virtualSizeBytes: number;
}

export async function adoptFile(layout: ImageLayout, options: AdoptOptions): Promise<CachedImage> {
  const operation = `keep image ${options.digest.slice(0, 12)}`;
  return await withBlobsLock(layout, operation, () => adopt(layout, options));
}

async function adopt(layout: ImageLayout, options: AdoptOptions): Promise<CachedImage> {
  const { from, digest, format, virtualSizeBytes } = options;
  const path = blobPath(layout, digest, format);
  try {
    // Readable by all: as root, the hypervisor's QEMU is another user; else the folder is 0700.
    await Deno.chmod(from, 0o444);
    {
      using file = await Deno.open(from, { read: true });
      await file.sync();
    }
    // Over an equal file too: a machine that has it open keeps its own inode of the same bytes.
    await Deno.rename(from, path);
    await syncFolder(layout.root);
  } catch (error) {
    throw fileError(error, `Cannot move the image to "${path}"`);
  }
  const stat = (await stampOf(path))!;
  const before = await readBlob(layout, digest);
  await writeBlob(layout, {
    ...before,
    v: 1,
    digest,
    format,
    size: stat.size,
    virtual_size: virtualSizeBytes,
    stat,
    hashed_at: new Date().toISOString(),
  });
  return { digest, format, path, size: stat.size, virtualSizeBytes };
}
