import assert from "node:assert/strict";
import { createHash, createHmac } from "node:crypto";
import fc from "fast-check";
import { hexOf, hmacSha256Hex, sameSecret, sha256, sha256Hex } from "../../../src/base/sha256.ts";

Deno.test("sha256 is the platform's, for every length around its blocks and for any bytes", () => {
  for (let length = 0; length < 200; length++) {
    const bytes = new Uint8Array(length).map((_, i) => i * 7);
    assert.equal(
      hexOf(sha256(bytes)),
      createHash("sha256").update(bytes).digest("hex"),
      `${length}`,
    );
  }
  fc.assert(fc.property(fc.uint8Array({ maxLength: 5000 }), (bytes) => {
    assert.equal(hexOf(sha256(bytes)), createHash("sha256").update(bytes).digest("hex"));
  }));
});

Deno.test("sha256Hex and hmacSha256Hex are the platform's for any texts", () => {
  const texts = fc.string({ unit: "binary", maxLength: 300 });
  fc.assert(fc.property(texts, texts, (key, text) => {
    assert.equal(sha256Hex(text), createHash("sha256").update(text).digest("hex"));
    assert.equal(hmacSha256Hex(key, text), createHmac("sha256", key).update(text).digest("hex"));
  }));
});

Deno.test("sameSecret says equal for equal texts only", () => {
  fc.assert(fc.property(fc.string(), fc.string(), (a, b) => {
    assert.equal(sameSecret(a, b), a === b);
    assert.ok(sameSecret(a, a));
  }));
});
