import assert from "node:assert/strict";
import { crc32, inflateSync } from "node:zlib";
import fc from "fast-check";
import { encodePng, parsePpm, pngSize } from "../../../src/image/png.ts";

/** A reader of its own: chunks with their checksums, rows unfiltered. */
function decode(png: Uint8Array): { width: number; height: number; pixels: Uint8Array } {
  const view = new DataView(png.buffer, png.byteOffset);
  const parts: Uint8Array[] = [];
  const types: string[] = [];
  for (let at = 8; at < png.length;) {
    const length = view.getUint32(at);
    const type = new TextDecoder().decode(png.subarray(at + 4, at + 8));
    assert.equal(view.getUint32(at + 8 + length), crc32(png.subarray(at + 4, at + 8 + length)));
    types.push(type);
    if (type === "IDAT") parts.push(png.subarray(at + 8, at + 8 + length));
    at += 12 + length;
  }
  assert.deepEqual(types, ["IHDR", "IDAT", "IEND"]);
  const { width, height } = pngSize(png)!;
  assert.deepEqual([...png.subarray(24, 29)], [8, 2, 0, 0, 0]);
  const raw = inflateSync(parts[0]);
  const row = width * 3;
  const pixels = new Uint8Array(row * height);
  for (let y = 0; y < height; y++) {
    const filter = raw[y * (row + 1)];
    for (let x = 0; x < row; x++) {
      const above = y === 0 || filter !== 2 ? 0 : pixels[(y - 1) * row + x];
      pixels[y * row + x] = raw[y * (row + 1) + 1 + x] + above;
    }
  }
  return { width, height, pixels };
}

Deno.test("encodePng: another reader finds every pixel, whatever the picture", () => {
  fc.assert(fc.property(
    fc.integer({ min: 1, max: 9 }),
    fc.integer({ min: 1, max: 9 }),
    fc.infiniteStream(fc.integer({ min: 0, max: 255 })),
    (width, height, bytes) => {
      const pixels = Uint8Array.from({ length: width * height * 3 }, () => bytes.next().value!);
      const head = new TextEncoder().encode(`P6\n# a comment\n${width} ${height}\n255\n`);
      const ppm = new Uint8Array([...head, ...pixels]);
      assert.deepEqual(decode(encodePng(parsePpm(ppm))), { width, height, pixels });
    },
  ));
});

Deno.test("parsePpm: what is no such picture is refused, never read beyond its end", () => {
  const encode = (text: string) => new TextEncoder().encode(text);
  for (
    const bad of ["", "P6", "P5\n1 1\n255\nabc", "P6\n2 2\n255\nabc", "P6\n1 1\n65535\nabcdef"]
      .concat("P6\n99999 99999\n255\nabc", "P6\n0 1\n255\n", "P6\n-1 1\n255\nabc")
  ) {
    assert.throws(() => parsePpm(encode(bad)), { code: "hypervisor_error" }, JSON.stringify(bad));
  }
});
