import assert from "node:assert/strict";
import { bootArea, PARTITION_START_SECTOR, SECTOR } from "../../../src/image/boot_sector.ts";

const bootImage = new Uint8Array(SECTOR).fill(0xb0);
const coreImage = new Uint8Array(70_000).fill(0xc0);

Deno.test("sfdisk reads the partition table as one bootable Linux partition", async () => {
  const sectors = 1_000_000;
  const path = await Deno.makeTempFile();
  try {
    const area = bootArea({
      bootImage,
      coreImage,
      partitionSectors: sectors,
      diskSignature: 0x1234abcd,
    });
    await Deno.writeFile(path, area);
    await Deno.truncate(path, (PARTITION_START_SECTOR + sectors) * SECTOR);
    const { stdout, success } = await new Deno.Command("/usr/sbin/sfdisk", {
      args: ["--json", path],
    }).output();
    assert.ok(success);
    const { partitiontable } = JSON.parse(new TextDecoder().decode(stdout));
    assert.equal(partitiontable.label, "dos");
    assert.equal(partitiontable.id, "0x1234abcd");
    assert.deepEqual(
      partitiontable.partitions.map((
        p: Record<string, unknown>,
      ) => [p.start, p.size, p.type, p.bootable]),
      [[PARTITION_START_SECTOR, sectors, "83", true]],
    );
  } finally {
    await Deno.remove(path);
  }
});

Deno.test("boot code, core image and gap lie where GRUB looks for them", () => {
  const area = bootArea({ bootImage, coreImage, partitionSectors: 8, diskSignature: 1 });
  assert.equal(area.length, PARTITION_START_SECTOR * SECTOR);
  assert.ok(area.subarray(0, 440).every((byte) => byte === 0xb0));
  assert.ok(area.subarray(SECTOR, SECTOR + coreImage.length).every((byte) => byte === 0xc0));
  assert.ok(area.subarray(SECTOR + coreImage.length).every((byte) => byte === 0));
});

Deno.test("what does not fit the layout is refused", () => {
  const base = { bootImage, coreImage, partitionSectors: 8, diskSignature: 1 };
  assert.throws(() => bootArea({ ...base, bootImage: new Uint8Array(511) }), RangeError);
  assert.throws(() => bootArea({ ...base, coreImage: new Uint8Array(2048 * 512) }), RangeError);
  assert.throws(() => bootArea({ ...base, coreImage: new Uint8Array() }), RangeError);
  assert.throws(() => bootArea({ ...base, partitionSectors: 2 ** 32 }), RangeError);
});
