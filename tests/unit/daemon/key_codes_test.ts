import assert from "node:assert/strict";
import fc from "fast-check";
import { chordOf, chordsOfText, KEY_CODES } from "../../../src/daemon/key_codes.ts";

Deno.test("chordOf: names to the kernel's codes", () => {
  const table: Readonly<Record<string, readonly number[]>> = {
    "ctrl+alt+f2": [29, 56, 60],
    "Ctrl+Alt+Delete": [29, 56, 111],
    ret: [28],
    a: [30],
    "shift+1": [42, 2],
    sysrq: [99],
    rightmeta: [126],
    kpenter: [96],
    pagedown: [109],
    "102nd": [86],
    f12: [88],
  };
  for (const [words, codes] of Object.entries(table)) {
    assert.deepEqual(chordOf(words), codes, words);
  }
});

Deno.test("chordOf: an unknown key is named with the nearest one, too many are refused", () => {
  assert.throws(() => chordOf("ctrl+escpe"), /found no key "escpe"; did you mean "escape"/);
  assert.throws(() => chordOf("ctrl+"), /found no key beside a "\+"$/);
  for (const bad of ["", "ctrl+", "a+a", [...KEY_CODES.keys()].slice(0, 17).join("+")]) {
    assert.throws(() => chordOf(bad), { code: "invalid_params" }, bad);
  }
});

Deno.test("chordsOfText: every printable ASCII character has keys, and no two the same", () => {
  const all = Array.from({ length: 95 }, (_, i) => String.fromCharCode(32 + i)).join("") + "\n\t";
  const chords = chordsOfText(all).map((codes) => codes.join("+"));
  assert.equal(chords.length, 97);
  assert.equal(new Set(chords).size, 97);
  fc.assert(fc.property(fc.string(), (text) => {
    const fine = /^[ -~\n\t\r]*$/.test(text.replaceAll("\r\n", "\n").replaceAll("\r", "é"));
    if (fine) {
      return assert.equal(chordsOfText(text).length, [...text.replaceAll("\r\n", "\n")].length);
    }
    assert.throws(() => chordsOfText(text), { code: "invalid_params" });
  }));
});
