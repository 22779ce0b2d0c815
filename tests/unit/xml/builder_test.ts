import assert from "node:assert/strict";
import fc from "fast-check";
import { SaxesParser } from "saxes";
import { RumError } from "../../../src/base/errors.ts";
import { el, escapeXml, renderXml } from "../../../src/xml/builder.ts";

/** What a parser that is not ours reads back: the attribute and the text of the one element. */
function readBack(xml: string): { attribute: string; text: string } {
  const parser = new SaxesParser({ fragment: false });
  let attribute = "";
  let text = "";
  let open = false;
  parser.on("opentag", (tag) => {
    attribute = String(tag.attributes.a);
    open = true;
  });
  parser.on("closetag", () => {
    open = false;
  });
  parser.on("text", (t) => {
    if (open) text += t;
  });
  parser.write(xml).close();
  return { attribute, text };
}

const legal = fc.string({ unit: "grapheme", maxLength: 40 })
  .filter((s) => !/[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]/.test(s));

Deno.test("any legal text comes back from a parser as it went in, in attributes and in text", () => {
  fc.assert(fc.property(legal, (text) => {
    const xml = renderXml(el("inner", { a: text }, text));
    assert.deepEqual(readBack(xml), { attribute: text, text });
  }));
});

Deno.test("quotes, markup and line ends come back too", () => {
  const nasty = `'"<a/>&amp;]]><!-- \r\n\t -->`;
  assert.equal(readBack(renderXml(el("inner", { a: nasty }))).attribute, nasty);
});

Deno.test("escapeXml refuses what XML 1.0 cannot hold, and names the character", () => {
  for (const [text, name] of [["a\0b", "U+0000"], ["\x1b[m", "U+001B"], ["\ud800", "U+D800"]]) {
    assert.throws(
      () => escapeXml(text),
      (e) => e instanceof RumError && e.code === "config_invalid" && e.message.includes(name),
    );
  }
  assert.equal(escapeXml("\u{1f600}"), "\u{1f600}");
});

Deno.test("no string at all makes more than one element, or none", () => {
  fc.assert(fc.property(fc.string({ unit: "binary" }), (text) => {
    let xml: string;
    try {
      xml = renderXml(el("inner", { a: text }, text));
    } catch (e) {
      assert.ok(e instanceof RumError);
      return;
    }
    assert.equal(xml.match(/</g)?.length, 2);
  }));
});

Deno.test("names of elements come from code, and a bad one is a defect", () => {
  assert.throws(() => renderXml(el("a b")), (e) => e instanceof RumError && e.code === "internal");
});
