import assert from "node:assert/strict";
import fc from "fast-check";
import { RumError } from "../../../src/base/errors.ts";
import { isoImage } from "../../../src/image/iso9660.ts";
import { readIsoFolder } from "../../../src/image/iso9660_read.ts";

async function imageOf(files: Parameters<typeof isoImage>[0]): Promise<Uint8Array> {
  return new Uint8Array(await new Response(isoImage(files, { label: "cidata" })).arrayBuffer());
}

const readerOf = (bytes: Uint8Array) => (offset: number, length: number) =>
  Promise.resolve(bytes.subarray(offset, offset + length));

Deno.test("iso9660: what was written is read back: names, modes, bytes", async () => {
  const name = fc.stringMatching(/^[a-z][a-z0-9._-]{0,60}$/);
  const file = fc.record({
    name,
    mode: fc.constantFrom(0o600, 0o644, 0o755),
    content: fc.uint8Array({ maxLength: 5000 }),
  });
  await fc.assert(
    fc.asyncProperty(
      fc.uniqueArray(file, { selector: (f) => f.name, maxLength: 40 }),
      async (files) => {
        const bytes = await imageOf(files);
        const found = await readIsoFolder(readerOf(bytes));
        const sorted = files.toSorted((a, b) => a.name < b.name ? -1 : 1);
        assert.deepEqual(
          found.map(({ name, mode, sizeBytes, offset }) => ({
            name,
            mode,
            content: new Uint8Array(bytes.subarray(offset, offset + sizeBytes)),
          })),
          sorted.map((f) => ({ ...f, content: new Uint8Array(f.content) })),
        );
      },
    ),
    { numRuns: 40 },
  );
});

Deno.test("iso9660: anything else, or a part of one, is refused as corrupt and never hangs", async () => {
  const whole = await imageOf([{ name: "a", mode: 0o644, content: new Uint8Array(10) }]);
  await fc.assert(
    fc.asyncProperty(fc.nat(whole.length), fc.nat(255), async (at, value) => {
      for (
        const bytes of [
          whole.subarray(0, Math.min(at, 19 * 2048)),
          whole.with(at % whole.length, value),
        ]
      ) {
        try {
          await readIsoFolder(readerOf(bytes));
        } catch (error) {
          assert.ok(error instanceof RumError && error.code === "image_corrupt", String(error));
        }
      }
    }),
  );
});
