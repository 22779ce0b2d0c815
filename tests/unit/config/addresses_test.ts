import assert from "node:assert/strict";
import { isIP } from "node:net";
import fc from "fast-check";
import { bindsOverlap, isAddress, isLoopback } from "../../../src/config/addresses.ts";

Deno.test("addresses: what is one is what node:net takes for one", () => {
  const rows = ["", "::", "::1", "1.2.3", "1.2.3.4.", "01.2.3.4", "256.1.1.1", "0.0.0.0", "a.b.c.d"]
    .concat("::ffff:1.2.3.4", "1:2:3:4:5:6:7:8:9", ":::", "fe80::1%eth0", "[::1]", "::1%", " ::1");
  for (const text of rows) assert.equal(isAddress(text), isIP(text) !== 0, JSON.stringify(text));
  fc.assert(fc.property(
    fc.oneof(fc.ipV4(), fc.ipV6()),
    fc.nat(),
    fc.constantFrom("", "0", "f", ":", ".", "g", "/", "::"),
    (text, place, extra) => {
      const at = place % (text.length + 1);
      const changed = text.slice(0, at) + extra + text.slice(at);
      assert.equal(isAddress(changed), isIP(changed) !== 0, changed);
    },
  ));
});

Deno.test("addresses: one address in two spellings is one bind, and loopback is known in each", () => {
  assert.ok(bindsOverlap("0:0:0:0:0:0:0:1", "::1"));
  assert.ok(bindsOverlap("::", "127.0.0.1"));
  assert.ok(!bindsOverlap("127.0.0.1", "127.0.0.2"));
  assert.deepEqual(["127.3.2.1", "0::1", "10.0.0.1", "::2"].map(isLoopback), [
    true,
    true,
    false,
    false,
  ]);
});
