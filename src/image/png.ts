/**
 * A picture as the hypervisor makes it (PPM, `P6`) → PNG. Pure. PNG because everything shows it and
 * it is a twentieth of the size; written here because a screen without an alpha channel takes three
 * chunks: header, one zlib stream of filtered rows, end.
 *
 * Rows but the first use the filter "up": screens repeat downwards.
 */
import { joined } from "../base/joined.ts";
import { RumError } from "../base/errors.ts";

export interface Ppm {
  readonly width: number;
  readonly height: number;
  /** Three bytes a pixel, row after row. */
  readonly pixels: Uint8Array;
}

/** Above any screen; a hostile guest chooses its own resolution. */
const MAX_SIDE = 16_384;
const SIGNATURE = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];

/** @throws {RumError} `hypervisor_error` when the bytes are no such picture */
export function parsePpm(bytes: Uint8Array): Ppm {
  const fields: number[] = [];
  let at = 2;
  const isSpace = (byte: number) => byte === 0x20 || (byte >= 0x09 && byte <= 0x0d);
  while (fields.length < 3 && at < bytes.length) {
    if (bytes[at] === 0x23) { while (at < bytes.length && bytes[at] !== 0x0a) at++; }
    else if (isSpace(bytes[at])) at++;
    else {
      let text = "";
      while (at < bytes.length && !isSpace(bytes[at]) && text.length < 8) {
        text += String.fromCharCode(bytes[at++]);
      }
      fields.push(/^\d+$/.test(text) ? Number(text) : NaN);
    }
  }
  const [width, height, depth] = fields;
  const side = (n: number) => Number.isInteger(n) && n >= 1 && n <= MAX_SIDE;
  const pixels = bytes.subarray(at + 1);
  if (
    bytes[0] !== 0x50 || bytes[1] !== 0x36 || !side(width) || !side(height) || depth !== 255 ||
    pixels.length < width * height * 3
  ) {
    throw new RumError(
      "hypervisor_error",
      `The screenshot is not a picture that rum knows: ${bytes.length} bytes, wanted PPM with 8 bits a colour`,
    );
  }
  return { width, height, pixels: pixels.subarray(0, width * height * 3) };
}

export function encodePng({ width, height, pixels }: Ppm): Uint8Array<ArrayBuffer> {
  const header = new Uint8Array(13);
  const view = new DataView(header.buffer);
  view.setUint32(0, width);
  view.setUint32(4, height);
  header.set([8, 2, 0, 0, 0], 8);
  // Here: an import would cost each start of a daemon 40 ms.
  const { deflateSync } = process.getBuiltinModule("node:zlib");
  const body = deflateSync(filtered(width * 3, height, pixels), { level: 6 });
  return joined([
    Uint8Array.from(SIGNATURE),
    chunk("IHDR", header),
    chunk("IDAT", body),
    chunk("IEND", new Uint8Array(0)),
  ]);
}

/** Width and height as the file itself says; undefined when it is no PNG. */
export function pngSize(bytes: Uint8Array): { width: number; height: number } | undefined {
  if (bytes.length < 24 || SIGNATURE.some((byte, i) => bytes[i] !== byte)) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  return { width: view.getUint32(16), height: view.getUint32(20) };
}

function filtered(rowBytes: number, height: number, pixels: Uint8Array): Uint8Array {
  const out = new Uint8Array((rowBytes + 1) * height);
  for (let y = 0; y < height; y++) {
    const row = pixels.subarray(y * rowBytes, (y + 1) * rowBytes);
    const to = y * (rowBytes + 1);
    if (y === 0) {
      out.set(row, to + 1);
      continue;
    }
    out[to] = 2;
    const above = (y - 1) * rowBytes;
    for (let x = 0; x < rowBytes; x++) out[to + 1 + x] = row[x] - pixels[above + x];
  }
  return out;
}

function chunk(type: string, data: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(12 + data.length);
  const { crc32 } = process.getBuiltinModule("node:zlib");
  const view = new DataView(bytes.buffer);
  view.setUint32(0, data.length);
  for (let i = 0; i < 4; i++) bytes[4 + i] = type.charCodeAt(i);
  bytes.set(data, 8);
  view.setUint32(8 + data.length, crc32(bytes.subarray(4, 8 + data.length)));
  return bytes;
}
