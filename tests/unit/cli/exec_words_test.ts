import assert from "node:assert/strict";
import fc from "fast-check";
import { RumError } from "../../../src/base/errors.ts";
import { printedAs, verdictOf } from "../../../src/cli/exec_run.ts";
import { argvOf, envFileLines, environmentOf } from "../../../src/cli/exec_words.ts";

Deno.test("exec: a single word that only a shell could read is given to one", () => {
  for (
    const word of [
      "a b",
      "a|b",
      "a&&b",
      "a;b",
      "$HOME",
      "`id`",
      "a>b",
      "'a'",
      "*.c",
      "~/x",
      "a\nb",
      "!x",
      "# x",
    ]
  ) {
    assert.deepEqual(argvOf([word]), ["sh", "-c", word], word);
  }
  for (const word of ["true", "/usr/bin/env", "a-b_c.d", "A=1", "x:y,z@w+%", "-v", "ümläut"]) {
    assert.deepEqual(argvOf([word]), [word], word);
  }
});

Deno.test("exec: several words are the argv, whatever is in them", () => {
  fc.assert(fc.property(fc.array(fc.string(), { minLength: 2, maxLength: 6 }), (words) => {
    assert.deepEqual(argvOf(words), words);
  }));
});

Deno.test("exec: -e gives a value as it is, or passes one on, and nothing when there is none", () => {
  const from = "-e";
  assert.deepEqual(
    environmentOf(
      [
        { text: "A=1=2", from },
        { text: "B", from },
        { text: "MISSING", from },
        { text: "C=", from },
        { text: `D="q"`, from },
        { text: "A=3", from },
      ],
      { B: "mine" },
    ),
    { A: "3", B: "mine", C: "", D: `"q"` },
  );
  for (const text of ["=1", "1A=2", "A-B=1", "", "A B"]) {
    assert.throws(
      () => environmentOf([{ text, from: "x.env:3" }], {}),
      (error) => error instanceof RumError && error.message.includes("x.env:3"),
      text,
    );
  }
});

Deno.test("exec: an env file's comments and empty lines say nothing, its lines say where they are", () => {
  assert.deepEqual(envFileLines("\uFEFF# head\r\nA=1 # kept\r\n\n  B=2\n#C=3\nD\n", "f"), [
    { text: "A=1 # kept", from: "f:2" },
    { text: "B=2", from: "f:4" },
    { text: "D", from: "f:6" },
  ]);
});

Deno.test("exec: JSON output is text where both streams are, else base64 of both", () => {
  const bytes = (...values: number[]) => Uint8Array.from(values);
  assert.deepEqual(printedAs(bytes(0x68, 0xc3, 0xa4), bytes()), { stdout: "hä", stderr: "" });
  assert.deepEqual(printedAs(bytes(0xef, 0xbb, 0xbf, 0x61), bytes()).stdout, "\uFEFFa");
  assert.deepEqual(printedAs(bytes(0x68), bytes(0xff)), {
    stdout: "aA==",
    stderr: "/w==",
    encoding: "base64",
  });
});

Deno.test("exec: rum's own failures are 255, but for time, Ctrl+C and a command that is not there", () => {
  const of = (code: ConstructorParameters<typeof RumError>[0], data?: Record<string, unknown>) =>
    verdictOf(new RumError(code, "x", { data }));
  assert.deepEqual(of("not_running"), { exit: 255, origin: "rum" });
  assert.deepEqual(of("config_not_found"), { exit: 255, origin: "rum" });
  assert.deepEqual(of("agent_unavailable"), { exit: 255, origin: "rum" });
  assert.deepEqual(of("timeout"), { exit: 124, origin: "rum" });
  assert.deepEqual(of("interrupted"), { exit: 130, origin: "rum" });
  assert.deepEqual(of("exec_failed", { code: 127 }), { exit: 127, origin: "guest" });
  assert.deepEqual(of("exec_failed", { code: 126 }), { exit: 126, origin: "guest" });
  assert.deepEqual(of("exec_failed"), { exit: 255, origin: "rum" });
});
