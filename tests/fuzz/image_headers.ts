/**
 * Files that call themselves images: taken or refused by name, by what is written in them and without
 * reading for ever. What is taken stands on nothing and holds its data itself.
 */
import assert from "node:assert/strict";
import { RumError } from "../../src/base/errors.ts";
import { bootArea, SECTOR } from "../../src/image/boot_sector.ts";
import { isoImage } from "../../src/image/iso9660.ts";
import { readIsoFolder } from "../../src/image/iso9660_read.ts";
import { parsePpm } from "../../src/image/png.ts";
import { blankImage, overlayImage, readImageHeader } from "../../src/image/qcow2.ts";
import { growQcow2 } from "../../src/image/qcow2_grow.ts";
import { inspectImage } from "../../src/store/image_inspect.ts";
import { joined, mutated } from "./mutate.ts";
import type { Random } from "../support/seeded.ts";
import type { Target } from "./target.ts";

const CLUSTER = 64 * 1024;
const encoder = new TextEncoder();
const blank = blankImage({ virtualSizeBytes: 2 ** 30 });
const SEED_FILES = [["meta-data", "instance-id: x\n"], ["token", "00"]].map(([name, content]) => ({
  name,
  mode: 0o600,
  content: encoder.encode(content),
}));

/** A disk with data: one second-level table, a plain, an empty and a compressed cluster. */
function withData(): Uint8Array<ArrayBuffer> {
  const bytes = joined(blank, new Uint8Array(3 * CLUSTER));
  const view = new DataView(bytes.buffer);
  const table = Math.ceil(blank.length / CLUSTER) * CLUSTER;
  view.setBigUint64(Number(view.getBigUint64(40)), BigInt(table) | 1n << 63n);
  view.setBigUint64(table, BigInt(table + CLUSTER) | 1n << 63n);
  view.setBigUint64(table + 16, BigInt(table + CLUSTER + 512) | 1n << 62n);
  return bytes;
}

const DISKS = [
  blank,
  withData(),
  overlayImage({ backing: "/var/x", backingFormat: "qcow2", virtualSizeBytes: 2 ** 30 }),
  joined(
    bootArea({
      bootImage: new Uint8Array(SECTOR).fill(0x90),
      coreImage: new Uint8Array(30_000).fill(1),
      partitionSectors: 100,
      diskSignature: 1,
    }),
    new Uint8Array(4096),
  ),
];
/** The parts of a disk that are read as numbers; the rest is left alone most of the time. */
const HEAD = 512;

export const imageHeaders: Target = {
  name: "image",
  async once(random, show) {
    switch (random.int(8)) {
      case 0:
        return await folder(random, show);
      case 1:
        return picture(random, show);
      default:
        return await disk(random, show);
    }
  },
};

async function disk(random: Random, show: (input: Uint8Array) => void): Promise<void> {
  const whole = random.pick(DISKS);
  const at = random.pick([0, 0, 0, CLUSTER * random.int(Math.ceil(whole.length / CLUSTER))]);
  const part = mutated(random, [whole.subarray(at, at + HEAD)]);
  const bytes = random.int(4) === 0
    ? joined(whole.subarray(0, at), part, whole.subarray(at + HEAD))
    : joined(whole.subarray(0, at), part.subarray(0, HEAD), whole.subarray(at + part.length));
  show(bytes);
  const path = await Deno.makeTempFile({ prefix: "rum-fuzz-" });
  try {
    await Deno.writeFile(path, bytes);
    const { format, virtualSizeBytes } = await inspectImage(path, "it");
    assert.ok(virtualSizeBytes >= 512);
    if (format === "raw") return;
    const header = readImageHeader(bytes);
    assert.deepEqual([header.backingFile, header.dataFile], [undefined, undefined]);
    await grown(bytes);
  } catch (thrown) {
    if (!(thrown instanceof RumError)) throw thrown;
    assert.match(thrown.code, /^image_(refused|corrupt)$/, thrown.message);
    assert.doesNotMatch(thrown.message, /[\x00-\x1f]/);
  } finally {
    await Deno.remove(path);
  }
}

/** Growing it writes where a disk may be written, or is refused. */
async function grown(bytes: Uint8Array): Promise<void> {
  const header = readImageHeader(bytes);
  try {
    const writes = await growQcow2({
      header,
      fileSizeBytes: bytes.length,
      newSizeBytes: header.virtualSizeBytes * 2,
      readAt: (offset, length) => {
        assert.ok(offset >= 0 && length <= 64 * 2 ** 20, `reads ${length} bytes at ${offset}`);
        return Promise.resolve(
          joined(bytes.subarray(offset, offset + length), new Uint8Array(length))
            .subarray(0, length),
        );
      },
    });
    for (const { offset, bytes } of writes) {
      assert.ok(Number.isSafeInteger(offset) && offset >= 0 && bytes.length <= 64 * 2 ** 20);
    }
  } catch (thrown) {
    if (!(thrown instanceof RumError)) throw thrown;
    assert.match(thrown.code, /^(not_supported|invalid_params|image_corrupt)$/, thrown.message);
  }
}

let seed: Uint8Array<ArrayBuffer> | undefined;

async function folder(random: Random, show: (input: Uint8Array) => void): Promise<void> {
  seed ??= joined(...await Array.fromAsync(isoImage(SEED_FILES, { label: "cidata" })));
  const at = random.pick([16, 17, 18, 19, 20, 21]) * 2048;
  const part = mutated(random, [seed.subarray(at, at + 256)]);
  const bytes = joined(seed.subarray(0, at), part, seed.subarray(at + 256));
  show(bytes);
  try {
    const entries = await readIsoFolder((offset, length) => {
      assert.ok(length <= 2 ** 21, `reads ${length} bytes`);
      return Promise.resolve(bytes.subarray(offset, offset + length));
    });
    for (const { offset, sizeBytes } of entries) assert.ok(offset >= 0 && sizeBytes >= 0);
  } catch (thrown) {
    if (!(thrown instanceof RumError)) throw thrown;
    assert.equal(thrown.code, "image_corrupt");
  }
}

const PPM = joined(encoder.encode("P6\n# a remark\n4 3\n255\n"), new Uint8Array(36));

function picture(random: Random, show: (input: Uint8Array) => void): void {
  const bytes = mutated(random, [PPM]);
  show(bytes);
  try {
    const { width, height, pixels } = parsePpm(bytes);
    assert.equal(pixels.length, width * height * 3);
  } catch (thrown) {
    if (!(thrown instanceof RumError)) throw thrown;
  }
}
