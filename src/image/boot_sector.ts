/**
 * The first megabyte of a BIOS-bootable disk, as bytes: GRUB's boot sector, its core image in the
 * gap before the first partition, and a partition table with one bootable Linux partition. Written
 * here because every tool that writes it (grub-install, extlinux) wants a mounted block device, and
 * with that root; the layout below is all that those tools would have done.
 *
 *   sector 0      GRUB boot.img (440 bytes), disk signature, four partition entries, 55 AA
 *   sector 1…     GRUB core.img: boot.img loads it from sector 1, where GRUB's default expects it
 *   sector 2048…  the partition
 */
export const SECTOR = 512;
/** One MiB: aligned for every disk, and a gap that holds any core image. */
export const PARTITION_START_SECTOR = 2048;

const BOOT_CODE = 440;
const PARTITION_TABLE = 446;
const LINUX = 0x83;
const ACTIVE = 0x80;

export interface BootArea {
  readonly bootImage: Uint8Array;
  readonly coreImage: Uint8Array;
  readonly partitionSectors: number;
  /** 32 bits; the same for everybody, or two builds would differ. */
  readonly diskSignature: number;
}

/** @throws {RangeError} when the images or the partition do not fit the layout */
export function bootArea(area: BootArea): Uint8Array {
  const { bootImage, coreImage, partitionSectors } = area;
  if (bootImage.length !== SECTOR) {
    throw new RangeError(`A GRUB boot image has ${SECTOR} bytes, found ${bootImage.length}`);
  }
  const gap = (PARTITION_START_SECTOR - 1) * SECTOR;
  if (coreImage.length === 0 || coreImage.length > gap) {
    throw new RangeError(`A GRUB core image has 1 to ${gap} bytes, found ${coreImage.length}`);
  }
  if (partitionSectors < 1 || PARTITION_START_SECTOR + partitionSectors > 0xffff_ffff) {
    throw new RangeError(`A partition of ${partitionSectors} sectors does not fit an MBR`);
  }
  const bytes = new Uint8Array(PARTITION_START_SECTOR * SECTOR);
  const view = new DataView(bytes.buffer);
  bytes.set(bootImage.subarray(0, BOOT_CODE));
  view.setUint32(BOOT_CODE, area.diskSignature, true);
  const entry = PARTITION_TABLE;
  bytes[entry] = ACTIVE;
  // CHS says "beyond what CHS can say": every reader since the nineties uses the LBA fields.
  bytes.set([0xfe, 0xff, 0xff], entry + 1);
  bytes[entry + 4] = LINUX;
  bytes.set([0xfe, 0xff, 0xff], entry + 5);
  view.setUint32(entry + 8, PARTITION_START_SECTOR, true);
  view.setUint32(entry + 12, partitionSectors, true);
  view.setUint16(SECTOR - 2, 0xaa55, true);
  bytes.set(coreImage, SECTOR);
  return bytes;
}
