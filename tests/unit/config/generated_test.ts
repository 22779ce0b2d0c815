/**
 * Whatever a file holds, the answer is a config or diagnostics: the file may come from a guest, and
 * `rum list` must survive it. Text that is nearly TOML, nearly rum.toml, and good files with a few
 * bytes changed. FULL=1 checks 10,000.
 */
import assert from "node:assert/strict";
import fc from "fast-check";
import { DISK, EXAMPLE, isAnswered } from "./answered.ts";
import { check } from "./fake_reader.ts";

const RUNS = Deno.env.get("FULL") === "1" ? 10_000 : 1_000;

const NAMES = [
  ...new Set(EXAMPLE.match(/[a-z_]{2,}(?= = )|(?<=\[)[a-z_]+/g)),
  "__proto__",
  "constructor",
  "toString",
  "",
  "a b",
];
const name = fc.oneof(
  fc.constantFrom(...NAMES),
  fc.string({ maxLength: 6 }).map((s) => JSON.stringify(s)),
);
const scalar = fc.oneof(
  fc.constantFrom('"2G"', '"5m"', '"/a"', '"."', '"git"', "true", "1", "-1", "1.5", "nan", "inf"),
  fc.constantFrom("1979-05-27", "99999999999999999999", "yes", '"""x', "'", "[", "{ a = 1 }", "[]"),
  fc.constantFrom('"../.."', '"0.0.0.0"', '"\\u0000"', '"auto"', '[["x"], [1]]', "[{}, {}]"),
  fc.string({ unit: "binary", maxLength: 12 }).map((s) => JSON.stringify(s)),
  fc.integer().map(String),
);
const value = fc.oneof(
  scalar,
  fc.array(scalar, { maxLength: 3 }).map((items) => `[${items.join(", ")}]`),
);
const line = fc.oneof(
  fc.tuple(name, value).map(([k, v]) => `${k} = ${v}`),
  fc.array(name, { minLength: 1, maxLength: 3 }).map((path) => `[${path.join(".")}]`),
  fc.array(name, { minLength: 1, maxLength: 3 }).map((path) => `[[${path.join(".")}]]`),
  fc.string({ unit: "binary", maxLength: 20 }),
);
const tomlLike = fc.array(line, { maxLength: 25 }).map((lines) => lines.join("\n"));

/** The example with some pieces cut, doubled or overwritten. */
const edit = fc.tuple(
  fc.nat({ max: EXAMPLE.length }),
  fc.nat({ max: 12 }),
  fc.oneof(fc.string({ maxLength: 4 }), scalar, line.map((l) => `\n${l}\n`), fc.constant("")),
);
const mutated = fc.array(edit, { minLength: 1, maxLength: 4 }).map((edits) =>
  edits.reduce((text, [at, cut, put]) => text.slice(0, at) + put + text.slice(at + cut), EXAMPLE)
);

Deno.test(`${RUNS} generated files give a config or diagnostics`, async () => {
  const text = fc.oneof(tomlLike, mutated, fc.string({ unit: "binary", maxLength: 60 }));
  await fc.assert(fc.asyncProperty(text, isAnswered), { numRuns: RUNS });
});

const HOSTILE: readonly (readonly [string, string])[] = [
  ["deep lists", "a = " + "[".repeat(100_000)],
  ["deep inline tables", "a = " + "{a=".repeat(50_000)],
  ["deep keys", "a" + ".a".repeat(50_000) + " = 1"],
  ["deep headers", "[a" + ".a".repeat(50_000) + "]"],
  ["many unreadable lines", "=\n".repeat(20_000)],
  ["one long line", '[image]\nbase = "' + "x".repeat(500_000)],
  ["many keys", Array.from({ length: 20_000 }, (_, i) => `k${i} = 1`).join("\n")],
  ["nested lists where a word belongs", "image.base = " + "[".repeat(900) + "]".repeat(900)],
];

for (const [what, text] of HOSTILE) {
  Deno.test(`a file of ${what} gives diagnostics`, async () => {
    assert.equal((await check(text, DISK)).kind, "bad");
  });
}
