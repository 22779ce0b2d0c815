/**
 * Looks at a file that wants to become a base image and says whether it may: the format by its own
 * magic, no backing file, no data file, whole by its own tables. QEMU is never asked, because asking
 * is what such images attack (SPEC section 11).
 */
import { RumError } from "../base/errors.ts";
import { formatSize } from "../base/units.ts";
import { identify, IDENTIFY_BYTES } from "../image/identify.ts";
import { IMAGE_HEADER_BYTES, type Qcow2Header, readImageHeader } from "../image/qcow2.ts";
import { qcow2Reach } from "../image/qcow2_reach.ts";
import { printableLine } from "../base/printable.ts";
import { fileError } from "./ownership.ts";
import type { ImageFormat } from "./image_types.ts";

const MIN_RAW = 1024 * 1024;

export interface Inspected {
  readonly format: ImageFormat;
  readonly virtualSizeBytes: number;
}

/**
 * @param what how the sentence calls it: the URL, name or path the user gave
 * @throws {RumError} `image_refused` for a format, backing or data file that is not allowed
 * @throws {RumError} `image_corrupt` for what is no image, or not all of one
 */
export async function inspectImage(path: string, what: string): Promise<Inspected> {
  let file: Deno.FsFile;
  try {
    file = await Deno.open(path, { read: true });
  } catch (error) {
    throw fileError(error, `Cannot read the image "${path}"`);
  }
  using _file = file;
  const size = (await file.stat()).size;
  const first = await readAt(file, 0, Math.min(IMAGE_HEADER_BYTES, size));
  const format = rejectOtherKinds(first, what);
  if (format === "raw") {
    if (size < MIN_RAW || size % 512 !== 0) {
      throw corrupt(what, `a raw disk has whole sectors and at least 1 MiB, found ${size} bytes`);
    }
    return { format, virtualSizeBytes: size };
  }
  const virtualSizeBytes = readHeader(first, what);
  let wanted: number;
  try {
    wanted = await qcow2Reach((offset, length) => readAt(file, offset, length));
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw corrupt(what, `its tables are broken or cut off (${error.message})`, error);
  }
  if (size < wanted) {
    throw corrupt(
      what,
      `it is truncated: ${size} bytes (${formatSize(size)}) of at least ${wanted} are there`,
    );
  }
  return { format, virtualSizeBytes };
}

/** What can be said of a download after its first kilobyte: no need to fetch a gigabyte of VMDK. */
export function rejectOtherKinds(first: Uint8Array, what: string): ImageFormat {
  const found = identify(first.subarray(0, IDENTIFY_BYTES));
  switch (found.kind) {
    case "qcow2":
    case "raw":
      return found.kind;
    case "page":
      throw corrupt(what, `the server answered with ${found.what} instead of an image`);
    case "refused":
      throw new RumError(
        "image_refused",
        `Cannot use the image ${what}: it is ${found.what}, and rum takes qcow2 and raw disks only`,
        { hint: "qemu-img convert -O qcow2 IMAGE image.qcow2" },
      );
    case "unknown":
      throw corrupt(what, `found ${found.what}, want qcow2 or a raw disk`);
  }
}

/** The virtual size, or a refusal. */
function readHeader(first: Uint8Array, what: string): number {
  let header: Qcow2Header;
  try {
    header = readImageHeader(first);
  } catch (error) {
    throw corrupt(what, error instanceof Error ? error.message : String(error), error);
  }
  const refuse = (why: string) =>
    new RumError("image_refused", `Cannot use the image ${what}: ${why}`, {
      hint: "qemu-img convert -O qcow2 IMAGE image.qcow2",
    });
  if (header.backingFile !== undefined) {
    const name = printableLine(header.backingFile, 200);
    throw refuse(`it stands on a backing file ("${name}"), which could be any file of this host`);
  }
  if (header.dataFile !== undefined) {
    throw refuse("its data is in another file (an external data file), which could be any file");
  }
  if (header.encrypted) throw refuse("it is encrypted");
  if (header.virtualSizeBytes < 512) {
    throw corrupt(what, `its disk has ${header.virtualSizeBytes} bytes`);
  }
  return header.virtualSizeBytes;
}

function corrupt(what: string, why: string, cause?: unknown): RumError {
  return new RumError("image_corrupt", `Cannot use the image ${what}: ${why}`, { cause });
}

async function readAt(file: Deno.FsFile, offset: number, length: number): Promise<Uint8Array> {
  // A hostile header names places that no seek takes, and lengths that no memory holds.
  const { size } = await file.stat();
  if (offset + length > size) throw new RangeError(`the file ends at ${size}`);
  const bytes = new Uint8Array(length);
  await file.seek(offset, Deno.SeekMode.Start);
  for (let at = 0; at < length;) {
    const n = await file.read(bytes.subarray(at));
    if (n === null) throw new RangeError(`the file ends at ${offset + at}`);
    at += n;
  }
  return bytes;
}
