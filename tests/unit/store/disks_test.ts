import assert from "node:assert/strict";
import { RumError } from "../../../src/base/errors.ts";
import {
  diskBase,
  diskSize,
  growDisk,
  publishDisk,
  writeBlankDisk,
  writeOverlay,
} from "../../../src/store/disks.ts";

const GIB = 2 ** 30;

async function qemuImg(...args: string[]): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command("qemu-img", { args }).output();
  assert.ok(success, new TextDecoder().decode(stderr));
  return new TextDecoder().decode(stdout);
}

async function inFolder(work: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  await Deno.chmod(folder, 0o700);
  try {
    await work(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("disks: an overlay is made, published and grown, and qemu-img finds nothing wrong", () =>
  inFolder(async (folder) => {
    const base = `${folder}/base.qcow2`;
    await qemuImg("create", "-q", "-f", "qcow2", base, "1G");
    const pending = `${folder}/overlay.qcow2.pending`;
    const overlay = `${folder}/overlay.qcow2`;
    await writeOverlay(pending, { backing: base, backingFormat: "qcow2", virtualSizeBytes: GIB });
    await publishDisk(pending, overlay);
    await publishDisk(pending, overlay);
    for (const size of [GIB, 20 * GIB, 2000 * GIB]) {
      assert.equal(await growDisk(overlay, size), size !== GIB);
      assert.equal(await diskSize(overlay), size);
      const info = JSON.parse(await qemuImg("info", "--output=json", overlay));
      assert.equal(info["virtual-size"], size);
      assert.equal(info["backing-filename"], base);
      await qemuImg("check", "-q", overlay);
    }
  }));

Deno.test("disks: shrinking is refused with both sizes", () =>
  inFolder(async (folder) => {
    const drive = `${folder}/drive-a.qcow2`;
    await writeBlankDisk(drive, 2 * GIB);
    await assert.rejects(
      growDisk(drive, GIB),
      (error) => error instanceof RumError && /2 GiB.*1 GiB/.test(error.message),
    );
    assert.equal(await diskSize(drive), 2 * GIB);
  }));

Deno.test("disks: a symlink in a disk's place is never written through", () =>
  inFolder(async (folder) => {
    await Deno.writeTextFile(`${folder}/mine`, "precious");
    await Deno.symlink(`${folder}/mine`, `${folder}/drive-a.qcow2`);
    await assert.rejects(writeBlankDisk(`${folder}/drive-a.qcow2`, GIB), RumError);
    await assert.rejects(growDisk(`${folder}/drive-a.qcow2`, GIB), RumError);
    assert.equal(await Deno.readTextFile(`${folder}/mine`), "precious");
  }));

Deno.test("disks: what is not there has no size", () =>
  inFolder(async (folder) => {
    assert.equal(await diskSize(`${folder}/overlay.qcow2`), undefined);
  }));

const QEMU_USER = 64055;

Deno.test({
  name: "disks: one that libvirt gave to QEMU's user is still ours, in a folder of ours only",
  ignore: Deno.uid() !== 0,
  fn: () =>
    inFolder(async (folder) => {
      const drive = `${folder}/drive-a.qcow2`;
      await writeBlankDisk(drive, GIB);
      await Deno.chown(drive, QEMU_USER, QEMU_USER);
      assert.equal(await diskSize(drive), GIB);
      assert.equal(await diskBase(drive), undefined);
      assert.equal(await growDisk(drive, 2 * GIB), true);
      assert.equal(await diskSize(drive), 2 * GIB);
      await Deno.symlink(drive, `${folder}/drive-b.qcow2`);
      await assert.rejects(diskSize(`${folder}/drive-b.qcow2`), /a symbolic link/);
      await Deno.chown(folder, QEMU_USER, QEMU_USER);
      await assert.rejects(diskSize(drive), (error) =>
        error instanceof RumError && error.code === "not_owner");
    }),
});
