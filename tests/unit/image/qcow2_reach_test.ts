import assert from "node:assert/strict";
import { qcow2Reach } from "../../../src/image/qcow2_reach.ts";

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
