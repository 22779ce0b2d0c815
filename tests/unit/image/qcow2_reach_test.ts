import assert from "node:assert/strict";
import { blankImage } from "../../../src/image/qcow2.ts";
import { qcow2Reach } from "../../../src/image/qcow2_reach.ts";
import { inspectImage } from "../../../src/store/image_inspect.ts";

async function qemu(...args: string[]): Promise<void> {
  const { success, stderr } = await new Deno.Command(args[0], { args: args.slice(1) }).output();
  assert.ok(success, new TextDecoder().decode(stderr));
}

const reachOf = (bytes: Uint8Array) =>
  qcow2Reach((offset, length) => {
    if (offset + length > bytes.length) throw new RangeError(`the file ends at ${bytes.length}`);
    return Promise.resolve(bytes.subarray(offset, offset + length));
  });

for (
  const [title, options] of [
    ["plain", []],
    ["compressed", ["-c"]],
    ["4 KiB clusters", ["-o", "cluster_size=4k"]],
    ["version 2", ["-o", "compat=0.10"]],
    ["extended L2", ["-o", "extended_l2=on,cluster_size=128k"]],
  ] as const
) {
  Deno.test(`a whole qcow2 (${title}) reaches no further than its end; one cut short does`, async () => {
    const folder = await Deno.makeTempDir();
    try {
      const raw = `${folder}/raw`;
      using file = await Deno.open(raw, { write: true, createNew: true });
      for (let i = 0; i < 40; i++) {
        await file.seek(i * 300_000, Deno.SeekMode.Start);
        await file.write(crypto.getRandomValues(new Uint8Array(50_000)));
      }
      await file.truncate(16 * 2 ** 20);
      await qemu("qemu-img", "convert", "-f", "raw", "-O", "qcow2", ...options, raw, `${folder}/q`);
      const bytes = await Deno.readFile(`${folder}/q`);
      assert.ok(await reachOf(bytes) <= bytes.length, "whole");
      for (const share of [0.02, 0.3, 0.7, 0.9]) {
        const cut = bytes.subarray(0, Math.floor(bytes.length * share));
        const complete = await reachOf(cut).then((reach) => reach <= cut.length, (error) => {
          assert.ok(error instanceof RangeError, String(error));
          return false;
        });
        assert.equal(complete, false, `cut at ${share}`);
      }
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  });
}

Deno.test("a header that names places no file has is corrupt, by name", async () => {
  const path = await Deno.makeTempFile();
  try {
    for (const place of [2n ** 53n - 1n, 2n ** 62n, 2n ** 64n - 1n]) {
      const bytes = blankImage({ virtualSizeBytes: 2 ** 30 });
      new DataView(bytes.buffer).setBigUint64(40, place);
      await Deno.writeFile(path, bytes);
      await assert.rejects(inspectImage(path, "it"), { code: "image_corrupt" });
    }
  } finally {
    await Deno.remove(path);
  }
});

Deno.test("a second-level table that is named a thousand times is read once", async () => {
  const bytes = blankImage({ virtualSizeBytes: 2 ** 40 });
  const view = new DataView(bytes.buffer);
  const l1 = Number(view.getBigUint64(40));
  for (let i = 0; i < view.getUint32(36); i++) view.setBigUint64(l1 + i * 8, 1n << 16n);
  let reads = 0;
  await qcow2Reach((offset, length) => {
    reads++;
    return Promise.resolve(bytes.subarray(offset, offset + length));
  });
  assert.equal(reads, 3);
});
