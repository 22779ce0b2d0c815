import assert from "node:assert/strict";
import { errorReference, manPage, outputSchemaText } from "../../../src/build/reference.ts";

const DOCS = new URL("../../../docs/", import.meta.url).pathname;

Deno.test("docs/errors.md is what the table says (deno task docs)", async () => {
  assert.equal(await Deno.readTextFile(`${DOCS}errors.md`), errorReference());
});

Deno.test("docs/output.schema.json is what the table says (deno task docs)", async () => {
  assert.equal(await Deno.readTextFile(`${DOCS}output.schema.json`), outputSchemaText());
});

Deno.test("docs/rum.1 is what the command tree says (deno task docs)", async () => {
  assert.equal(await Deno.readTextFile(`${DOCS}rum.1`), manPage());
});
