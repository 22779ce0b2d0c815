import assert from "node:assert/strict";
import { posix } from "node:path";
import fc from "fast-check";
import {
  basename,
  dirname,
  join,
  normalize,
  relative,
  resolve,
} from "../../../src/base/posix_path.ts";

const part = fc.constantFrom("a", "bc", ".", "..", "", "...", "a b", "ü", ".x");
const path = fc.tuple(fc.constantFrom("", "/", "//"), fc.array(part, { maxLength: 6 }))
  .map(([start, parts]) => start + parts.join("/"));
const absolute = path.map((text) => `/${text}`);

Deno.test("normalize, join, basename are node:path's for any path", () => {
  fc.assert(
    fc.property(path, path, (a, b) => {
      assert.equal(normalize(a), posix.normalize(a), a);
      assert.equal(join(a, b), posix.join(a, b), `${a} and ${b}`);
      assert.equal(basename(a), posix.basename(a), a);
    }),
    { numRuns: 2000 },
  );
});

Deno.test("resolve and relative are node:path's where the first is absolute", () => {
  fc.assert(
    fc.property(absolute, path, absolute, (from, a, to) => {
      assert.equal(resolve(from, a), posix.resolve(from, a), `${from} and ${a}`);
      assert.equal(relative(from, to), posix.relative(from, to), `${from} to ${to}`);
    }),
    { numRuns: 2000 },
  );
});

Deno.test("dirname is node:path's for resolved paths and for names", () => {
  fc.assert(
    fc.property(absolute, (a) => {
      const whole = resolve(a);
      assert.equal(dirname(whole), posix.dirname(whole), whole);
    }),
  );
  for (const each of ["", "a", "a/b", "a/", "/", "/a", "/a/", "//a"]) {
    assert.equal(dirname(each), posix.dirname(each).replace(/^\/\/$/, "/"), each);
  }
});
