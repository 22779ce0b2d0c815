/**
 * qcow2 as bytes: reading a header without trusting it, and writing a complete empty image (an
 * overlay or a blank drive). Pure; callers do the reading and writing of files.
 *
 * Why by ourselves: QEMU's own tools probe formats and follow what a file says about itself, which
 * is how a downloaded image reads files of the host (backing file, external data file, `json:`
 * names). Here a header is looked at and nothing behind it is opened. And a machine can be made
 * where no qemu-img is installed.
 *
 * Layout of what is written, in clusters of 64 KiB: header | refcount table | one refcount block |
 * L1 table. One block counts 2 GiB of file, far more than an empty image has; QEMU adds further ones.
 */
import { RumError } from "../base/errors.ts";

export interface Qcow2Header {
  readonly format: "qcow2";
  readonly version: 2 | 3;
  readonly virtualSizeBytes: number;
  readonly clusterBits: number;
  /** Present when the header claims one, whatever it is called; may be empty text. */
  readonly backingFile?: string;
  readonly backingFormat?: string;
  /** Present when the data is in another file; the name may be empty. */
  readonly dataFile?: string;
  readonly encrypted: boolean;
  readonly snapshots: number;
  readonly bitmaps: boolean;
  /** Names of the incompatible feature bits that are set; unknown ones as `bit N`. */
  readonly incompatible: readonly string[];
  readonly l1: { readonly offset: number; readonly entries: number };
  readonly refcountTable: { readonly offset: number; readonly clusters: number };
  readonly refcountBits: number;
}

/** How much of a file `readImageHeader` wants to see: the largest first cluster there can be. */
export const IMAGE_HEADER_BYTES = 2 * 2 ** 20;

export const QCOW2_MAX_SIZE = 16 * 2 ** 40;

const MAGIC = 0x514649fb;
const EXTENSION = {
  end: 0,
  backingFormat: 0xe2792aca,
  dataFile: 0x44415441,
  bitmaps: 0x23852875,
} as const;
const INCOMPATIBLE = ["dirty", "corrupt", "data-file", "compression-type", "extended-l2"];

/**
 * What a file says of itself; which files come this far is `identify.ts`'s to tell.
 *
 * @param bytes the start of the file: IMAGE_HEADER_BYTES of it, or all when it is shorter
 * @throws {RumError} `image_corrupt` when it is no qcow2, or its header makes no sense
 */
export function readImageHeader(bytes: Uint8Array): Qcow2Header {
  if (bytes.length < 4 || view(bytes).getUint32(0) !== MAGIC) {
    throw corrupt("it does not start as one");
  }
  const v = view(bytes);
  if (bytes.length < 72) throw corrupt("its header is cut off");
  const version = v.getUint32(4);
  if (version !== 2 && version !== 3) throw corrupt(`version ${version}, where 2 or 3 is wanted`);
  const clusterBits = v.getUint32(20);
  if (clusterBits < 9 || clusterBits > 21) throw corrupt(`cluster_bits is ${clusterBits}`);
  if (version === 3 && bytes.length < 104) throw corrupt("its header is cut off");
  const headerLength = version === 3 ? v.getUint32(100) : 72;
  if (headerLength < (version === 3 ? 104 : 72) || headerLength > 2 ** clusterBits) {
    throw corrupt(`header_length is ${headerLength}`);
  }
  const virtualSizeBytes = safe(v.getBigUint64(24), "its size");
  const backingOffset = safe(v.getBigUint64(8), "the place of its backing file's name");
  const backingSize = v.getUint32(16);
  if (backingSize > 1023) throw corrupt(`its backing file's name has ${backingSize} bytes`);
  const features = version === 3 ? v.getBigUint64(72) : 0n;
  const autoclear = version === 3 ? v.getBigUint64(88) : 0n;
  const refcountOrder = version === 3 ? v.getUint32(96) : 4;
  if (refcountOrder > 6) throw corrupt(`refcount_order is ${refcountOrder}`);
  const extensions = readExtensions(bytes, headerLength, backingOffset, 2 ** clusterBits);
  const dataFile = extensions.get(EXTENSION.dataFile);
  const hasDataFile = dataFile !== undefined || (features & 4n) !== 0n || (autoclear & 2n) !== 0n;
  const backingFormat = extensions.get(EXTENSION.backingFormat);
  return {
    format: "qcow2",
    version,
    virtualSizeBytes,
    clusterBits,
    ...(backingOffset === 0 && backingSize === 0
      ? {}
      : { backingFile: text(bytes.subarray(backingOffset, backingOffset + backingSize)) }),
    ...(backingFormat === undefined ? {} : { backingFormat: text(backingFormat) }),
    ...(hasDataFile ? { dataFile: text(dataFile ?? new Uint8Array()) } : {}),
    encrypted: v.getUint32(32) !== 0,
    snapshots: v.getUint32(60),
    bitmaps: extensions.has(EXTENSION.bitmaps) || (autoclear & 1n) !== 0n,
    incompatible: featureNames(features),
    l1: { offset: safe(v.getBigUint64(40), "the place of its L1 table"), entries: v.getUint32(36) },
    refcountTable: {
      offset: safe(v.getBigUint64(48), "the place of its refcount table"),
      clusters: v.getUint32(56),
    },
    refcountBits: 2 ** refcountOrder,
  };
}

/** Type → content. Ends at the end mark, at the backing file's name, or at the first cluster's end. */
function readExtensions(
  bytes: Uint8Array,
  from: number,
  backingOffset: number,
  clusterSize: number,
): Map<number, Uint8Array> {
  const found = new Map<number, Uint8Array>();
  const v = view(bytes);
  const end = Math.min(
    bytes.length,
    clusterSize,
    backingOffset > from ? backingOffset : clusterSize,
  );
  for (let at = from; at + 8 <= end;) {
    const type = v.getUint32(at);
    const length = v.getUint32(at + 4);
    if (type === EXTENSION.end) break;
    if (at + 8 + length > end) throw corrupt("a header extension passes the end of the header");
    found.set(type, bytes.subarray(at + 8, at + 8 + length));
    at += 8 + Math.ceil(length / 8) * 8;
  }
  return found;
}

export interface OverlayOptions {
  /** Absolute path of what the overlay stands on. */
  readonly backing: string;
  readonly backingFormat: "qcow2" | "raw";
  readonly virtualSizeBytes: number;
}

/** The whole file of an empty overlay (at most 512 KiB): write it, and the disk is there. */
export function overlayImage(options: OverlayOptions): Uint8Array<ArrayBuffer> {
  const name = new TextEncoder().encode(options.backing);
  // Relative names, and protocols such as `json:` or `nbd:`, mean something else to QEMU.
  if (!options.backing.startsWith("/") || options.backing.includes("\0") || name.length > 1023) {
    throw new RumError(
      "invalid_params",
      `Cannot make a disk on top of ${JSON.stringify(options.backing)}: ` +
        "an absolute path of at most 1023 bytes is wanted",
    );
  }
  return emptyImage(options.virtualSizeBytes, { name, format: options.backingFormat });
}

/** The whole file of a blank drive. */
export function blankImage(
  options: { readonly virtualSizeBytes: number },
): Uint8Array<ArrayBuffer> {
  return emptyImage(options.virtualSizeBytes);
}

const CLUSTER_BITS = 16;
const CLUSTER = 2 ** CLUSTER_BITS;
const HEADER_LENGTH = 112;

function emptyImage(
  wantedSize: number,
  backing?: { readonly name: Uint8Array; readonly format: string },
): Uint8Array<ArrayBuffer> {
  if (!Number.isSafeInteger(wantedSize) || wantedSize <= 0 || wantedSize > QCOW2_MAX_SIZE) {
    throw new RumError(
      "invalid_params",
      `Cannot make a disk of ${wantedSize} bytes: more than 0 and at most 16 TiB are wanted`,
    );
  }
  const virtualSizeBytes = wholeSectors(wantedSize);
  const entries = l1Entries(virtualSizeBytes, CLUSTER_BITS);
  const l1Clusters = Math.ceil(entries * 8 / CLUSTER);
  const clusters = 3 + l1Clusters;
  const bytes = new Uint8Array(clusters * CLUSTER);
  const v = view(bytes);
  v.setUint32(0, MAGIC);
  v.setUint32(4, 3);
  v.setUint32(20, CLUSTER_BITS);
  v.setBigUint64(24, BigInt(virtualSizeBytes));
  v.setUint32(36, entries);
  v.setBigUint64(40, BigInt(3 * CLUSTER));
  v.setBigUint64(48, BigInt(CLUSTER));
  v.setUint32(56, 1);
  v.setUint32(96, 4);
  v.setUint32(100, HEADER_LENGTH);
  if (backing !== undefined) {
    const format = new TextEncoder().encode(backing.format);
    v.setUint32(HEADER_LENGTH, EXTENSION.backingFormat);
    v.setUint32(HEADER_LENGTH + 4, format.length);
    bytes.set(format, HEADER_LENGTH + 8);
    // The end mark is eight zero bytes, which are there already.
    const nameAt = HEADER_LENGTH + 8 + Math.ceil(format.length / 8) * 8 + 8;
    v.setBigUint64(8, BigInt(nameAt));
    v.setUint32(16, backing.name.length);
    bytes.set(backing.name, nameAt);
  }
  v.setBigUint64(CLUSTER, BigInt(2 * CLUSTER));
  for (let cluster = 0; cluster < clusters; cluster++) v.setUint16(2 * CLUSTER + cluster * 2, 1);
  return bytes;
}

/** QEMU counts in sectors; a size in between is rounded up, never down. */
export function wholeSectors(bytes: number): number {
  return Math.ceil(bytes / 512) * 512;
}

/** One L1 entry stands for a cluster full of 8-byte L2 entries. */
export function l1Entries(virtualSizeBytes: number, clusterBits: number): number {
  return Math.ceil(virtualSizeBytes / 2 ** (2 * clusterBits - 3));
}

function featureNames(bits: bigint): string[] {
  const names: string[] = [];
  for (let bit = 0; bit < 64; bit++) {
    if ((bits >> BigInt(bit)) & 1n) names.push(INCOMPATIBLE[bit] ?? `bit ${bit}`);
  }
  return names;
}

function safe(value: bigint, what: string): number {
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw corrupt(`${what} is ${value}`);
  return Number(value);
}

function text(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}

function view(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function corrupt(why: string): RumError {
  return new RumError("image_corrupt", `Cannot read the qcow2 header: ${why}`);
}
