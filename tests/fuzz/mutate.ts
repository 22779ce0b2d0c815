/** Bytes that were good, changed as accidents and attackers change them. */
import { joined as inOne } from "../../src/base/joined.ts";
import type { Random } from "../support/seeded.ts";

/** Where parsers keep their edges. */
const NUMBERS = [0, 1, 2, 7, 8, 64, 127, 128, 255, 256, 1024, 4095, 65535, 65536];
const WIDE = [0x7fffffff, 0x80000000, 0xffffffff];

/** `words` are put in as they are: what the format is made of. */
export function mutated(
  random: Random,
  corpus: readonly Uint8Array[],
  words: readonly Uint8Array[] = [],
): Uint8Array<ArrayBuffer> {
  let bytes: Uint8Array<ArrayBuffer> = Uint8Array.from(random.pick(corpus));
  for (let edits = random.size(1, 12); edits > 0; edits--) {
    bytes = edit(random, bytes, corpus, words);
  }
  return bytes;
}

function edit(
  random: Random,
  bytes: Uint8Array<ArrayBuffer>,
  corpus: readonly Uint8Array[],
  words: readonly Uint8Array[],
): Uint8Array<ArrayBuffer> {
  const at = random.int(bytes.length + 1);
  switch (random.int(words.length > 0 ? 9 : 8)) {
    case 0:
      if (bytes.length > 0) bytes[at % bytes.length] ^= 1 << random.int(8);
      return bytes;
    case 1:
      if (bytes.length > 0) bytes[at % bytes.length] = random.int(256);
      return bytes;
    case 2:
      return joined(bytes.subarray(0, at), random.bytes(random.size(1, 32)), bytes.subarray(at));
    case 3:
      return joined(bytes.subarray(0, at), bytes.subarray(at + random.size(1, 32)));
    case 4:
      return joined(bytes.subarray(0, at));
    case 5: {
      const from = random.int(bytes.length + 1);
      const piece = bytes.subarray(from, from + random.size(1, 64));
      return joined(bytes.subarray(0, at), piece, bytes.subarray(at));
    }
    case 6: {
      const width = random.pick([1, 2, 4, 8]);
      if (bytes.length < width) return bytes;
      const value = random.pick(width < 4 ? NUMBERS : [...NUMBERS, ...WIDE]);
      const view = new DataView(bytes.buffer, bytes.byteOffset);
      const place = Math.min(at, bytes.length - width);
      if (width === 1) view.setUint8(place, value);
      else if (width === 2) view.setUint16(place, value);
      else if (width === 4) view.setUint32(place, value);
      else view.setBigUint64(place, random.int(4) === 0 ? 2n ** 63n - 1n : BigInt(value));
      return bytes;
    }
    case 7: {
      const other = random.pick(corpus);
      return joined(bytes.subarray(0, at), other.subarray(random.int(other.length + 1)));
    }
    default:
      return joined(bytes.subarray(0, at), random.pick(words), bytes.subarray(at));
  }
}

export function joined(...parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  return inOne(parts);
}

/** As a stream would deliver it: in pieces of any size. */
export function pieces(random: Random, bytes: Uint8Array): Uint8Array[] {
  const parts: Uint8Array[] = [];
  for (let at = 0; at < bytes.length;) {
    const size = random.size(1, bytes.length);
    parts.push(bytes.slice(at, at + size));
    at += size;
  }
  return parts;
}
