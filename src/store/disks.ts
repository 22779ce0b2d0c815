/**
 * The machine's disks as files: made beside their place and renamed into it, grown in place while
 * the machine is off. What the bytes are is decided in `src/image`; here they get onto the disk in
 * an order that kill -9 cannot make wrong.
 */
import { RumError } from "../base/errors.ts";
import { formatSize } from "../base/units.ts";
import {
  blankImage,
  IMAGE_HEADER_BYTES,
  overlayImage,
  type OverlayOptions,
  readImageHeader,
} from "../image/qcow2.ts";
import { growQcow2 } from "../image/qcow2_grow.ts";
import { syncFolder, writeFileAtomic } from "./atomic.ts";
import { fileError, openOwnFile } from "./ownership.ts";

/** Readable by the hypervisor's user where it is not ours: libvirt changes the owner itself. */
const DISK_MODE = 0o600;

export function writeOverlay(path: string, options: OverlayOptions): Promise<void> {
  return writeFileAtomic(path, overlayImage(options), { mode: DISK_MODE });
}

export function writeBlankDisk(path: string, virtualSizeBytes: number): Promise<void> {
  return writeFileAtomic(path, blankImage({ virtualSizeBytes }), { mode: DISK_MODE });
}

/** Renames a finished disk into its place; success when that has happened already. */
export async function publishDisk(pending: string, path: string): Promise<void> {
  try {
    await Deno.rename(pending, path);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) {
      throw fileError(error, `Cannot put "${path}" in its place`);
    }
    return;
  }
  await syncFolder(path.slice(0, path.lastIndexOf("/")));
}

/** The virtual size of a disk of ours; undefined when it is not there. */
export async function diskSize(path: string): Promise<number | undefined> {
  return (await readHeader(path))?.header.virtualSizeBytes;
}

/** What a disk of ours stands on, in its own words; undefined when on nothing, or it is not there. */
export async function diskBase(
  path: string,
): Promise<{ readonly path: string; readonly format: "qcow2" | "raw" } | undefined> {
  const { backingFile, backingFormat } = (await readHeader(path))?.header ?? {};
  if (backingFile === undefined) return undefined;
  return backingFormat === "qcow2" || backingFormat === "raw"
    ? { path: backingFile, format: backingFormat }
    : undefined;
}

/**
 * Makes a disk at least this large. The machine must be off and the caller must hold its lock.
 *
 * @returns whether it grew
 * @throws {RumError} `invalid_params` when it is larger already: shrinking would cut data off
 */
export async function growDisk(path: string, newSizeBytes: number): Promise<boolean> {
  const found = await readHeader(path);
  if (found === undefined) throw new RumError("no_such_file", `Cannot grow "${path}": it is gone`);
  const { header, fileSizeBytes } = found;
  const size = header.virtualSizeBytes ?? 0;
  if (size > newSizeBytes) {
    throw new RumError(
      "invalid_params",
      `Cannot make "${path}" smaller: it has ${formatSize(size)}, and ` +
        `${formatSize(newSizeBytes)} are wanted`,
      { hint: "rum up --reset" },
    );
  }
  using file = (await openOwnFile(path, { write: true, anyOwner: true }))!;
  const writes = await growQcow2({
    header,
    fileSizeBytes,
    newSizeBytes,
    readAt: (offset, length) => readExactly(file, offset, length),
  });
  for (const { offset, bytes } of writes) {
    await file.seek(offset, Deno.SeekMode.Start);
    for (let at = 0; at < bytes.length;) at += await file.write(bytes.subarray(at));
    await file.sync();
  }
  return writes.length > 0;
}

async function readHeader(path: string) {
  const file = await openOwnFile(path, { anyOwner: true });
  if (file === undefined) return undefined;
  try {
    const { size } = await file.stat();
    const bytes = await readExactly(file, 0, Math.min(size, IMAGE_HEADER_BYTES));
    return { header: readImageHeader(bytes), fileSizeBytes: size };
  } finally {
    file.close();
  }
}

/** Zeroes past the end of the file, as qcow2 wants them. */
async function readExactly(
  file: Deno.FsFile,
  offset: number,
  length: number,
): Promise<Uint8Array<ArrayBuffer>> {
  const bytes = new Uint8Array(length);
  await file.seek(offset, Deno.SeekMode.Start);
  for (let at = 0; at < length;) {
    const count = await file.read(bytes.subarray(at));
    if (count === null) break;
    at += count;
  }
  return bytes;
}
