/** Differences of two trees: applied one by one to the first they give the second. */
import assert from "node:assert/strict";
import fc from "fast-check";
import {
  advance,
  below,
  belowAny,
  diffTrees,
  type Entry,
  type Op,
  parentOf,
  type Tree,
} from "../../../src/sync/tree.ts";

const file = (path: string, ino: number, more: Partial<Entry> = {}): Entry => ({
  path,
  type: "file",
  mode: 0o644,
  size: 1,
  mtimeMs: ino,
  ctimeMs: 1,
  ino,
  ...more,
});
const folder = (path: string, ino: number): Entry => ({
  path,
  type: "folder",
  mode: 0o755,
  size: 0,
  mtimeMs: 0,
  ino,
});
const tree = (...entries: Entry[]): Map<string, Entry> =>
  new Map(entries.map((entry) => [entry.path, entry]));

const shown = (ops: readonly Op[]) =>
  ops.map((op) =>
    op.op === "rename"
      ? `rename ${op.from} → ${op.path}`
      : "entry" in op
      ? `${op.op} ${op.entry.path}${op.op === "file" ? ` ${op.place}` : ""}`
      : `${op.op} ${op.path}`
  );

Deno.test("diffTrees: what each kind of change becomes", () => {
  const base = tree(
    folder("d", 1),
    file("d/a", 2),
    file("d/b", 3),
    file("touched", 4),
    file("written", 5),
    file("saved", 6),
    file("mode", 7),
    file("old", 8),
    file("gone", 9),
  );
  const now = tree(
    folder("e", 1),
    file("e/a", 2),
    file("e/c", 3),
    file("touched", 4, { ctimeMs: 2 }),
    file("written", 5, { size: 2 }),
    file("saved", 60),
    file("mode", 7, { mode: 0o755 }),
    file("new", 8),
    folder("x", 10),
    file("x/y", 11),
  );
  assert.deepEqual(shown(diffTrees(base, now)), [
    "rename d → e",
    "rename e/b → e/c",
    "meta mode",
    "rename old → new",
    "file saved replace",
    "same touched",
    "file written in_place",
    "folder x",
    "file x/y new",
    "remove gone",
  ]);
  assert.ok(!diffTrees(base, now, { renames: false }).some((op) => op.op === "rename"));
});

Deno.test("diffTrees: a file for a folder and a folder for a file, children first", () => {
  const base = tree(folder("a", 1), folder("a/b", 2), file("a/b/c", 3), file("f", 4));
  const now = tree(file("a", 5), folder("f", 6), file("f/g", 7));
  assert.deepEqual(shown(diffTrees(base, now)), [
    "remove a/b/c",
    "remove a/b",
    "remove a",
    "remove f",
    "file a new",
    "folder f",
    "file f/g new",
  ]);
});

Deno.test("diffTrees: two names that changed places are sent, not renamed", () => {
  const base = tree(file("a", 1), file("b", 2));
  const now = tree({ ...file("a", 2) }, { ...file("b", 1) });
  assert.deepEqual(shown(diffTrees(base, now)), ["file a replace", "file b replace"]);
});

const NAMES = ["a", "b", "c", "a.b", "a b"];
const path = fc.array(fc.constantFrom(...NAMES), { minLength: 1, maxLength: 3 })
  .map((parts) => parts.join("/"));
const type = fc.constantFrom("file" as const, "folder" as const, "link" as const);

/** Trees whose inodes recur in each other, so that renames are found; parents are folders. */
const anyTree = fc.array(
  fc.record({
    path,
    type,
    ino: fc.integer({ min: 1, max: 12 }),
    size: fc.integer({ max: 2, min: 0 }),
  }),
  { maxLength: 14 },
).map((rows) => {
  const made = new Map<string, Entry>();
  const inodes = new Set<number>();
  for (const row of rows.sort((a, b) => a.path < b.path ? -1 : 1)) {
    const parent = parentOf(row.path);
    if (made.has(row.path) || inodes.has(row.ino)) continue;
    if (parent !== "" && made.get(parent)?.type !== "folder") continue;
    inodes.add(row.ino);
    made.set(row.path, {
      path: row.path,
      type: row.type,
      mode: row.size === 0 ? 0o600 : 0o644,
      size: row.type === "file" ? row.size : 0,
      mtimeMs: row.type === "file" ? row.ino * 10 + row.size : 0,
      ctimeMs: 1,
      ino: row.ino,
      ...(row.type === "link" ? { to: `${row.size}` } : {}),
    });
  }
  return made;
});

/** A file system that refuses what a real one refuses. */
function carryOut(state: Map<string, Entry>, op: Op): void {
  const parentIsThere = (path: string) => {
    const parent = parentOf(path);
    assert.ok(parent === "" || state.get(parent)?.type === "folder", `no folder for ${path}`);
  };
  const children = (path: string) => [...state.keys()].filter((k) => k.startsWith(`${path}/`));
  switch (op.op) {
    case "remove":
      assert.ok(state.has(op.path), `${op.path} is not there`);
      assert.deepEqual(children(op.path), [], `${op.path} is not empty`);
      break;
    case "rename": {
      parentIsThere(op.path);
      assert.ok(state.has(op.from), `${op.from} is not there`);
      assert.ok(!op.path.startsWith(`${op.from}/`));
      const target = state.get(op.path);
      assert.ok(target === undefined || target.type === "file", `${op.path} is in the way`);
      break;
    }
    case "meta":
    case "same":
      assert.equal(state.get(op.entry.path)?.type, op.entry.type);
      break;
    case "file":
    case "folder":
    case "link": {
      parentIsThere(op.entry.path);
      const there = state.get(op.entry.path);
      assert.ok(there === undefined || there.type === op.entry.type, "something is in the way");
      break;
    }
    case "forget":
      break;
  }
  advance(state, op);
}

const essence = (of: Tree) =>
  [...of.values()].map(({ path, type, mode, size, mtimeMs, to }) =>
    [path, type, type === "link" ? 0 : mode, size, mtimeMs, to].join(" ")
  ).sort();

Deno.test("diffTrees: the operations carried out in order turn any tree into any other", () => {
  fc.assert(
    fc.property(anyTree, anyTree, fc.boolean(), (base, now, renames) => {
      const state = new Map(base);
      for (const op of diffTrees(base, now, { renames })) carryOut(state, op);
      assert.deepEqual(essence(state), essence(now));
    }),
    { numRuns: 3000 },
  );
});

Deno.test("diffTrees: what came along with a renamed folder and stands in the way goes first", () => {
  const base = tree(folder("c", 1), file("c/a", 12));
  const now = tree(folder("a", 1), folder("a/a", 2));
  const state = new Map(base);
  const ops = diffTrees(base, now);
  for (const op of ops) carryOut(state, op);
  assert.deepEqual(essence(state), essence(now));
  assert.deepEqual(ops.map(({ op }) => op), ["rename", "remove", "folder"]);
});

Deno.test("diffTrees: nothing to do between equals", () => {
  fc.assert(fc.property(anyTree, (any) => assert.deepEqual(diffTrees(any, any), [])));
});

Deno.test("belowAny: what below says of each, however many there are", () => {
  fc.assert(fc.property(anyTree, anyTree, (any, other) => {
    const tops = new Set([...any.keys()].filter((path) => other.has(path)));
    const each = [...tops].flatMap((top) => below(any, top));
    assert.deepEqual(belowAny(any, tops).sort(), [...new Set(each)].sort());
  }));
  const wide = tree(
    ...Array.from({ length: 40 }, (_, i) => [
      folder(`d${i}`, 100 + i),
      file(`d${i}/f`, 200 + i),
      file(`d${i}0`, 300 + i),
    ]).flat(),
  );
  const tops = new Set(Array.from({ length: 20 }, (_, i) => `d${i}`));
  const each = [...tops].flatMap((top) => below(wide, top));
  assert.deepEqual(belowAny(wide, tops).sort(), [...new Set(each)].sort());
});
