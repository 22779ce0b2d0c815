/**
 * How many bytes a qcow2 file must have, by its own tables: the end of the last cluster that
 * anything points to. A truncated download without a checksum is found this way before a guest finds
 * it as I/O errors. Only tables are read (64 KiB per 512 MiB of disk), never data.
 */
export interface ReadAt {
  (offset: number, length: number): Promise<Uint8Array>;
}

const OFFSET_MASK = 0x00ff_ffff_ffff_fe00n;
const COMPRESSED = 1n << 62n;
/** 16 TiB with 64 KiB clusters needs 32768; more is not an image for us. */
const MAX_L1_ENTRIES = 4 * 1024 * 1024;

/** @throws {RangeError} when the tables make no sense or end before the file says */
export async function qcow2Reach(read: ReadAt): Promise<number> {
  const header = view(await read(0, 104));
  const clusterBits = header.getUint32(20);
  const entries = header.getUint32(36);
  const l1Offset = Number(header.getBigUint64(40));
  const refcountOffset = Number(header.getBigUint64(48));
  const refcountClusters = header.getUint32(56);
  if (clusterBits < 9 || clusterBits > 21) throw new RangeError(`cluster bits ${clusterBits}`);
  if (entries > MAX_L1_ENTRIES) throw new RangeError(`${entries} entries in the first table`);
  const clusterSize = 2 ** clusterBits;
  let end = Math.max(l1Offset + entries * 8, refcountOffset + refcountClusters * clusterSize);
  // A compressed cluster's descriptor: the offset below bit x, sectors above it.
  const x = 62n - BigInt(clusterBits - 8);
  const version = header.getUint32(4);
  const extended = version >= 3 && (header.getBigUint64(72) & 16n) !== 0n;
  const step = extended ? 16 : 8;
  const l1 = view(await read(l1Offset, entries * 8));
  // A table that is named a million times is read once: the work is bounded by the file, not by it.
  const seen = new Set<number>();
  for (let i = 0; i < entries; i++) {
    const l2Offset = Number(l1.getBigUint64(i * 8) & OFFSET_MASK);
    if (l2Offset === 0 || seen.has(l2Offset)) continue;
    seen.add(l2Offset);
    end = Math.max(end, l2Offset + clusterSize);
    const l2 = view(await read(l2Offset, clusterSize));
    for (let at = 0; at < clusterSize; at += step) {
      const word = l2.getBigUint64(at);
      if (word === 0n) continue;
      if ((word & COMPRESSED) !== 0n) {
        const offset = Number(word & ((1n << x) - 1n));
        const sectors = Number((word & (COMPRESSED - 1n)) >> x);
        // The last sector need not be there in full: QEMU ends a file where the data ends.
        end = Math.max(end, Math.floor(offset / 512) * 512 + sectors * 512 + 1);
        continue;
      }
      const offset = Number(word & OFFSET_MASK);
      // The very last cluster may be cut at the file's end: what is missing of it reads as zeros.
      if (offset !== 0) end = Math.max(end, offset + 1);
    }
  }
  return end;
}

function view(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
