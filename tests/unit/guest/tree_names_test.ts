import assert from "node:assert/strict";
import fc from "fast-check";
import type { FileMeta } from "../../../src/protocol/agent.ts";
import { staysInside, TreeGuard } from "../../../src/guest/tree_names.ts";

function meta(type: FileMeta["type"], target?: string): FileMeta {
  return { type, size: 0, mode: 0o644, mtimeMs: 0, uid: 0, gid: 0, target };
}

function guarded(): TreeGuard {
  const guard = new TreeGuard();
  guard.admit({ path: "", meta: meta("folder") });
  return guard;
}

for (
  const path of ["/etc/passwd", "..", "../x", "a/../../x", ".", "a//b", "a/", "x\0y", "missing/x"]
) {
  Deno.test(`a tree entry named ${JSON.stringify(path)} is refused as a lie`, () => {
    assert.throws(() => guarded().admit({ path, meta: meta("file") }), { code: "agent_lied" });
  });
}

Deno.test("an entry below a link is refused, though the link was taken", () => {
  const guard = guarded();
  assert.equal(guard.admit({ path: "l", meta: meta("link", "a") }), undefined);
  assert.throws(() => guard.admit({ path: "l/x", meta: meta("file") }), { code: "agent_lied" });
});

Deno.test("an entry that comes twice is refused: the second could replace a folder by a link", () => {
  const guard = guarded();
  guard.admit({ path: "d", meta: meta("folder") });
  assert.throws(() => guard.admit({ path: "d", meta: meta("link", "x") }), { code: "agent_lied" });
});

Deno.test("devices and links that lead out are left out by name", () => {
  const guard = guarded();
  assert.match(guard.admit({ path: "dev", meta: meta("other") })!, /"dev" is a device/);
  assert.match(guard.admit({ path: "up", meta: meta("link", "../x") })!, /leads out/);
  assert.match(guard.admit({ path: "abs", meta: meta("link", "/etc") })!, /leads out/);
});

Deno.test("a link that climbs after a name is left out: the name may be a link to the top", () => {
  assert.equal(staysInside("y", "d/x/../.."), false);
  assert.equal(staysInside("d/y", "../e/x"), true);
});

Deno.test("entries and bytes are bounded", () => {
  const guard = new TreeGuard({ maxEntries: 2, maxBytes: 10 });
  guard.admit({ path: "", meta: meta("folder") });
  guard.admit({ path: "a", meta: meta("file") });
  assert.throws(() => guard.admit({ path: "b", meta: meta("file") }), { code: "too_large" });
  guard.count(10);
  assert.throws(() => guard.count(1), { code: "too_large" });
});

Deno.test("a link that stays inside resolves below the top, whatever its words", () => {
  const word = fc.constantFrom("..", ".", "a", "b", "");
  fc.assert(
    fc.property(
      fc.array(word, { maxLength: 8 }),
      fc.integer({ min: 0, max: 4 }),
      (words, depth) => {
        const path = [...Array(depth).fill("d"), "link"].join("/");
        const target = words.join("/");
        if (!staysInside(path, target)) return;
        const top = "/top";
        const resolved = new URL(`${top}/${path}/../${target}`, "file:///").pathname;
        assert.ok(resolved === top || resolved.startsWith(`${top}/`), resolved);
      },
    ),
  );
});
