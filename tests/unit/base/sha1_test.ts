import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import fc from "fast-check";
import { sha1 } from "../../../src/base/sha1.ts";

Deno.test("sha1 is what node:crypto says, whatever the length", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
      assert.deepEqual([...sha1(bytes)], [...createHash("sha1").update(bytes).digest()]);
    }),
  );
  for (const length of [0, 55, 56, 63, 64, 65, 119, 120]) {
    const bytes = new Uint8Array(length).fill(0x61);
    assert.deepEqual([...sha1(bytes)], [...createHash("sha1").update(bytes).digest()]);
  }
});
