import assert from "node:assert/strict";
import { errorDocument, RumError } from "../../../src/base/errors.ts";
import { DOCUMENT_TYPES, documentSchema, outputSchema } from "../../../src/protocol/output.ts";
import { createOutput } from "../../../src/ui/output.ts";
import { mistakesIn, published } from "../../support/published.ts";

Deno.test("published: a document that differs from its schema is told where", () => {
  const version = { v: 1, type: "version", version: "1.0.0" };
  assert.deepEqual(mistakesIn(version, documentSchema("version"), "version"), []);
  const rows: [object, RegExp][] = [
    [{ ...version, v: 2 }, /version\.v is 2, wanted 1/],
    [{ v: 1, type: "version" }, /version\.version is missing/],
    [{ ...version, version: 3 }, /version\.version is no string/],
    [{ v: 1, type: "weather" }, /rum prints no type weather/],
    [{ v: 1, type: "list", machines: [{ id: 1 }] }, /list\.machines\[0\]\.id is no string/],
    [{ v: 1, type: "port_rm", removed: {} }, /port_rm\.removed is no array/],
    [{ v: 1, type: "daemon_stop", id: "x", did: "?" }, /daemon_stop\.did is "\?"/],
    [{ v: 1, type: "dropped", count: -1 }, /dropped\.count is below 0/],
  ];
  for (const [document, wanted] of rows) assert.throws(() => published(document), wanted);
});

Deno.test("published: the validator knows every word of every schema", () => {
  for (const type of DOCUMENT_TYPES) {
    assert.notDeepEqual(mistakesIn({}, documentSchema(type), type), [], type);
  }
  const { anyOf, definitions } = outputSchema() as { anyOf: unknown[]; definitions: object };
  assert.deepEqual([anyOf.length, Object.keys(definitions)], [
    DOCUMENT_TYPES.length,
    DOCUMENT_TYPES,
  ]);
});

Deno.test("with -o json, stderr too is one object a line: errors with causes, notes, details", () => {
  const lines: string[] = [];
  const sink = (bytes: Uint8Array) => lines.push(new TextDecoder().decode(bytes)) && bytes.length;
  const stderr = { writeSync: sink };
  const out = createOutput({
    ...{ mode: "json", colour: false, verbose: true, quiet: false },
    ...{ stdout: stderr, stderr },
  });
  out.note("one\ntwo");
  out.detail("three");
  const cause = new Error("inner", { cause: new Error("innermost") });
  const error = new RumError("timeout", "Too late", { hint: "rum status", cause, data: { a: 1 } });
  out.error(error, { exit: 255, origin: "rum" });
  const documents = lines.map((line) => published(JSON.parse(line)));
  assert.deepEqual(documents, [
    { v: 1, type: "note", message: "one\ntwo" },
    { v: 1, type: "detail", message: "three" },
    { ...errorDocument(error), exit: 255, origin: "rum", causes: ["inner", "innermost"] },
  ]);
  for (const line of lines) assert.match(line, /^[^\n]+\n$/);
});
