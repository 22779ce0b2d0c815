/**
 * The way back from `iso9660.ts`: which files a seed holds, and where. Reads what this rum writes:
 * one folder, names and modes by Rock Ridge. Pure over a reader of bytes, bounded by the image.
 */
import { RumError } from "../base/errors.ts";

export interface IsoEntry {
  readonly name: string;
  readonly mode: number;
  readonly sizeBytes: number;
  /** Where its bytes begin in the image. */
  readonly offset: number;
}

const SECTOR = 2048;
const DESCRIPTOR = 16 * SECTOR;
const ROOT_RECORD = 156;
const FOLDER_MAX = 1024 * 1024;
const FOLDER_FLAG = 2;

/** @throws {RumError} `image_corrupt` when it is no such image */
export async function readIsoFolder(
  read: (offset: number, length: number) => Promise<Uint8Array>,
): Promise<IsoEntry[]> {
  const descriptor = await read(DESCRIPTOR, SECTOR);
  const mark = String.fromCharCode(...descriptor.subarray(0, 6));
  if (descriptor.length < SECTOR || mark !== "\x01CD001") {
    throw corrupt("it has no ISO 9660 volume descriptor");
  }
  const root = descriptor.subarray(ROOT_RECORD, ROOT_RECORD + 34);
  const { sector, sizeBytes } = placeOf(root);
  if (sizeBytes > FOLDER_MAX) throw corrupt(`its folder has ${sizeBytes} bytes`);
  const folder = await read(sector * SECTOR, sizeBytes);
  if (folder.length < sizeBytes) throw corrupt("it ends within its folder");
  const entries: IsoEntry[] = [];
  for (let at = 0; at < folder.length;) {
    const length = folder[at];
    // Records never cross a sector: a zero says that the rest of this one is empty.
    if (length === 0) {
      at = (Math.floor(at / SECTOR) + 1) * SECTOR;
      continue;
    }
    const record = folder.subarray(at, at + length);
    if (record.length < length || length < 34) throw corrupt("a record of its folder is cut off");
    at += length;
    if ((record[25] & FOLDER_FLAG) !== 0) continue;
    const place = placeOf(record);
    entries.push({
      ...rockRidge(record),
      sizeBytes: place.sizeBytes,
      offset: place.sector * SECTOR,
    });
  }
  return entries;
}

function placeOf(record: Uint8Array): { sector: number; sizeBytes: number } {
  const view = new DataView(record.buffer, record.byteOffset, record.byteLength);
  return { sector: view.getUint32(2, true), sizeBytes: view.getUint32(10, true) };
}

/** The name and mode as they were given; the plain ISO name where a record has none. */
function rockRidge(record: Uint8Array): { name: string; mode: number } {
  const length = record[32];
  let name = String.fromCharCode(...record.subarray(33, 33 + length));
  let mode = 0o444;
  for (let at = 33 + length + (length % 2 === 0 ? 1 : 0); at + 4 <= record.length;) {
    const size = record[at + 2];
    if (size < 4 || at + size > record.length) break;
    const signature = String.fromCharCode(record[at], record[at + 1]);
    const body = record.subarray(at + 4, at + size);
    if (signature === "NM") name = String.fromCharCode(...body.subarray(1));
    if (signature === "PX") {
      mode = new DataView(body.buffer, body.byteOffset, body.byteLength).getUint32(0, true) &
        0o7777;
    }
    at += size;
  }
  return { name, mode };
}

function corrupt(why: string): RumError {
  return new RumError("image_corrupt", `Cannot read the image: ${why}`);
}
