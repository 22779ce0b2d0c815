/** Ignore files: git's syntax at every level, .rumignore after every .gitignore. */
import assert from "node:assert/strict";
import { DirtySet, MAX_DIRTY } from "../../../src/sync/dirty.ts";
import { IgnoreRules } from "../../../src/sync/ignore.ts";

Deno.test("IgnoreRules: the innermost file that says something has the last word", () => {
  const rules = new IgnoreRules();
  rules.set("", ".gitignore", "*.log\n/build/\n.env\nnode_modules\n");
  rules.set("lib", ".gitignore", "!keep.log\n/gen\n");
  rules.set("", ".rumignore", "!.env\nsecret*\n");
  rules.set("a b", ".gitignore", "line\\\nfeed\nx y\n");
  const rows: [string, boolean, boolean][] = [
    ["a.log", false, true],
    ["lib/a.log", false, true],
    ["lib/keep.log", false, false],
    ["lib/deep/keep.log", false, false],
    ["keep.log", false, true],
    ["build", true, true],
    ["build", false, false],
    ["lib/build", true, false],
    ["lib/gen", false, true],
    ["lib/deep/gen", false, false],
    [".env", false, false],
    ["lib/.env", false, false],
    ["node_modules", true, true],
    ["lib/node_modules", true, true],
    ["Secret", false, false],
    ["deep/er/secret.txt", false, true],
    ["a b/x y", false, true],
    ["with\nfeed", false, false],
    [".git", true, false],
  ];
  for (const [path, isFolder, wanted] of rows) {
    assert.equal(rules.ignores(path, isFolder), wanted, JSON.stringify([path, isFolder]));
  }
  rules.set("", ".gitignore", undefined);
  assert.equal(rules.ignores("a.log", false), false);
  assert.equal(rules.ignores("secret", false), true);
});

Deno.test("DirtySet: a burst beyond its bound becomes everything, and begins anew when taken", () => {
  const dirty = new DirtySet();
  for (let i = 0; i < MAX_DIRTY; i++) dirty.add(`${i}`);
  assert.equal(dirty.all, false);
  dirty.addTree("one more");
  assert.deepEqual(dirty.take(), { all: true, paths: new Set(), trees: new Set() });
  assert.equal(dirty.empty, true);
  dirty.add("a");
  dirty.add("a");
  assert.deepEqual(dirty.take().paths, new Set(["a"]));
});
