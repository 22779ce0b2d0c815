/**
 * Making a qcow2 disk larger, as a list of writes for the caller to carry out in order, each one
 * durable before the next. Only the header, the L1 table and refcounts are touched, never data.
 *
 *   L1 has room        → header
 *   room in its cluster → zero the new entries, header
 *   no room            → new L1 at the end of the file, its refcounts, header, old L1's refcounts
 *
 * Killed between two writes, the disk is the old one or the new one; at worst a few clusters are
 * counted and unused (a leak that `qemu-img check` reports as harmless). The file must not be open
 * in QEMU; whoever calls holds the machine's lock and has seen it off.
 */
import { RumError } from "../base/errors.ts";
import { formatSize } from "../base/units.ts";
import { l1Entries, QCOW2_MAX_SIZE, type Qcow2Header, wholeSectors } from "./qcow2.ts";

export interface DiskWrite {
  readonly offset: number;
  readonly bytes: Uint8Array<ArrayBuffer>;
}

export interface GrowOptions {
  readonly header: Qcow2Header;
  readonly fileSizeBytes: number;
  readonly newSizeBytes: number;
  /** Exactly `length` bytes at `offset`; zeroes past the end of the file. */
  readonly readAt: (offset: number, length: number) => Promise<Uint8Array>;
}

/** What QEMU accepts of an L1 table. */
const L1_MAX_BYTES = 32 * 2 ** 20;

/**
 * @returns no writes when the size is that already
 * @throws {RumError} `invalid_params` to shrink or pass 16 TiB, `not_supported` for an image with
 *   snapshots, bitmaps, foreign data or features that count space in another way
 */
export async function growQcow2(options: GrowOptions): Promise<DiskWrite[]> {
  const { header } = options;
  const newSize = wholeSectors(options.newSizeBytes);
  if (newSize === header.virtualSizeBytes) return [];
  refuse(header, newSize);
  const clusterSize = 2 ** header.clusterBits;
  const wanted = l1Entries(newSize, header.clusterBits);
  if (wanted * 8 > L1_MAX_BYTES) {
    throw new RumError(
      "not_supported",
      `Cannot grow the disk to ${formatSize(newSize)}: its clusters of ` +
        `${formatSize(clusterSize)} are too small for that`,
    );
  }
  const { entries, offset } = header.l1;
  if (wanted <= entries) return [headerWrite(newSize, entries, offset)];

  const oldClusters = Math.ceil(entries * 8 / clusterSize);
  if (wanted * 8 <= oldClusters * clusterSize) {
    return [
      { offset: offset + entries * 8, bytes: new Uint8Array((wanted - entries) * 8) },
      headerWrite(newSize, wanted, offset),
    ];
  }
  return await moveL1(options, newSize, wanted);
}

async function moveL1(
  options: GrowOptions,
  newSize: number,
  wanted: number,
): Promise<DiskWrite[]> {
  const { header, readAt } = options;
  const clusterSize = 2 ** header.clusterBits;
  const refcounts = new Refcounts(header, readAt);
  const newClusters = Math.ceil(wanted * 8 / clusterSize);
  // And as many more as blocks for their own counts may be needed.
  const reach = newClusters + Math.ceil(newClusters * 2 / clusterSize) + 2;
  let first = Math.ceil(options.fileSizeBytes / clusterSize);
  // QEMU may have counted clusters past the end that it has not written yet.
  while (!await refcounts.allFree(first, reach)) first++;

  const table = new Uint8Array(newClusters * clusterSize);
  table.set(await readAt(header.l1.offset, header.l1.entries * 8));
  const l1Offset = first * clusterSize;
  const counted = await refcounts.claim(first, newClusters);
  const oldFirst = header.l1.offset / clusterSize;
  const oldClusters = Math.ceil(header.l1.entries * 8 / clusterSize);
  return [
    { offset: l1Offset, bytes: table },
    ...counted,
    headerWrite(newSize, wanted, l1Offset),
    ...await refcounts.release(oldFirst, oldClusters),
  ];
}

/** size, crypt_method, l1_size and l1_table_offset lie side by side: one write of 24 bytes. */
function headerWrite(size: number, entries: number, l1Offset: number): DiskWrite {
  const bytes = new Uint8Array(24);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(0, BigInt(size));
  view.setUint32(12, entries);
  view.setBigUint64(16, BigInt(l1Offset));
  return { offset: 24, bytes };
}

function refuse(header: Qcow2Header, newSize: number): void {
  if (newSize < header.virtualSizeBytes) {
    throw new RumError(
      "invalid_params",
      `Cannot shrink a disk of ${formatSize(header.virtualSizeBytes)} to ${formatSize(newSize)}`,
      { hint: "rum up --reset builds a new disk" },
    );
  }
  if (newSize > QCOW2_MAX_SIZE) {
    throw new RumError(
      "invalid_params",
      `Cannot grow a disk to ${formatSize(newSize)}: at most 16 TiB are wanted`,
    );
  }
  const odd = header.incompatible.filter((name) => name !== "compression-type");
  const why = header.snapshots > 0
    ? `it holds ${header.snapshots} internal snapshots`
    : header.bitmaps
    ? "it holds bitmaps"
    : header.encrypted
    ? "it is encrypted"
    : odd.length > 0
    ? `its features are: ${odd.join(", ")}`
    : header.refcountBits !== 16
    ? `its refcounts have ${header.refcountBits} bits`
    : undefined;
  if (why !== undefined) {
    throw new RumError("not_supported", `Cannot grow the disk: ${why}`, {
      hint: "qemu-img resize DISK SIZE",
    });
  }
}

/** The 16-bit reference counts of a file's clusters, in blocks that a table points to. */
class Refcounts {
  readonly #clusterSize: number;
  readonly #perBlock: number;

  constructor(
    readonly header: Qcow2Header,
    readonly readAt: GrowOptions["readAt"],
  ) {
    this.#clusterSize = 2 ** header.clusterBits;
    this.#perBlock = this.#clusterSize / 2;
  }

  async allFree(first: number, count: number): Promise<boolean> {
    for (let cluster = first; cluster < first + count; cluster++) {
      const block = await this.#blockOffset(cluster);
      if (block === 0) continue;
      const at = await this.readAt(block + (cluster % this.#perBlock) * 2, 2);
      if (at[0] !== 0 || at[1] !== 0) return false;
    }
    return true;
  }

  /** Counts clusters once; blocks that are missing are made right behind them, counting themselves. */
  async claim(first: number, count: number): Promise<DiskWrite[]> {
    const fresh = new Map<number, { offset: number; bytes: Uint8Array<ArrayBuffer> }>();
    const marks: DiskWrite[] = [];
    let end = first + count;
    for (let cluster = first; cluster < end; cluster++) {
      const index = Math.floor(cluster / this.#perBlock);
      const known = await this.#blockOffset(cluster);
      if (known !== 0) {
        marks.push(this.#mark(known, cluster, 1));
        continue;
      }
      const block = fresh.get(index) ??
        { offset: end++ * this.#clusterSize, bytes: new Uint8Array(this.#clusterSize) };
      fresh.set(index, block);
      block.bytes[(cluster % this.#perBlock) * 2 + 1] = 1;
    }
    const tables = [...fresh].map(([index, block]): DiskWrite => {
      const bytes = new Uint8Array(8);
      new DataView(bytes.buffer).setBigUint64(0, BigInt(block.offset));
      return { offset: this.header.refcountTable.offset + index * 8, bytes };
    });
    return [...marks, ...fresh.values(), ...tables];
  }

  async release(first: number, count: number): Promise<DiskWrite[]> {
    const writes: DiskWrite[] = [];
    for (let cluster = first; cluster < first + count; cluster++) {
      const block = await this.#blockOffset(cluster);
      if (block !== 0) writes.push(this.#mark(block, cluster, 0));
    }
    return writes;
  }

  #mark(block: number, cluster: number, count: 0 | 1): DiskWrite {
    return {
      offset: block + (cluster % this.#perBlock) * 2,
      bytes: new Uint8Array([0, count]),
    };
  }

  async #blockOffset(cluster: number): Promise<number> {
    const { offset, clusters } = this.header.refcountTable;
    const index = Math.floor(cluster / this.#perBlock);
    if (index * 8 >= clusters * this.#clusterSize) {
      throw new RumError("not_supported", "Cannot grow the disk: its refcount table is full", {
        hint: "qemu-img resize DISK SIZE",
      });
    }
    const entry = await this.readAt(offset + index * 8, 8);
    const bits = new DataView(entry.buffer, entry.byteOffset, 8).getBigUint64(0);
    return Number(bits & ~0x1ffn);
  }
}
