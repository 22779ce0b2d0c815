import assert from "node:assert/strict";
import { RumError } from "../../../src/base/errors.ts";
import fc from "fast-check";
import { parseFully as parseCommandLine } from "../../../src/cli/full_parse.ts";
import { globalsOf } from "../../../src/cli/globals.ts";
import { quickParse } from "../../../src/cli/quick_parse.ts";
import { allVerbs, GLOBAL_OPTIONS } from "../../../src/cli/tree.ts";
import type { OptionSpec } from "../../../src/cli/verb.ts";

function parse(line: string, env: Record<string, string> = {}) {
  const parsed = parseCommandLine(line === "" ? [] : line.split(" "), env);
  assert.equal(parsed.kind, "call", `${line} is not a call`);
  if (parsed.kind !== "call") throw new Error("unreachable");
  return parsed;
}

function refusal(line: string, env: Record<string, string> = {}): RumError {
  try {
    parseCommandLine(line === "" ? [] : line.split(" "), env);
  } catch (error) {
    assert.ok(error instanceof RumError, String(error));
    return error;
  }
  throw new Error(`rum ${line} was accepted`);
}

Deno.test("parse: global options count before the verb and after it", () => {
  for (const line of ["-o json -m web status", "status -o json -m web", "-m web status -o json"]) {
    const { output, globals, call } = parse(line);
    assert.deepEqual([output, globals.machine, call.verb], ["json", "web", ["status"]], line);
  }
});

Deno.test("parse: flag wins over environment, environment over default", () => {
  const env = { RUM_OUTPUT: "json", RUM_MACHINE: "a", RUM_TIMEOUT: "5m", RUM_NO_INPUT: "1" };
  const fromEnv = parse("status", env);
  assert.deepEqual(
    [fromEnv.output, fromEnv.globals.machine, fromEnv.globals.timeoutMs, fromEnv.globals.noInput],
    ["json", "a", 300_000, true],
  );
  const fromFlag = parse("-o plain -m b status --timeout 2s", env);
  assert.deepEqual(
    [fromFlag.output, fromFlag.globals.machine, fromFlag.globals.timeoutMs],
    ["plain", "b", 2000],
  );
});

Deno.test("parse: exec hands the guest's words on untouched, its own options before them", () => {
  const { call } = parse("exec -e A=1 -e B -u root -- ls -la --color -- x");
  assert.deepEqual(call.operands, ["ls", "-la", "--color", "--", "x"]);
  assert.deepEqual(call.options, { env: ["A=1", "B"], user: "root" });
  assert.deepEqual(parse("exec ls -o json").call.operands, ["ls", "-o", "json"]);
  assert.equal(parse("exec ls -o json").output, "auto");
});

Deno.test("parse: a verb's own --timeout is not the global one", () => {
  const own = parse("down --timeout 5s");
  assert.deepEqual(own.call.options, { timeout: "5s" });
  assert.equal(own.globals.timeoutMs, undefined);
  assert.equal(parse("--timeout 9s down").globals.timeoutMs, 9000);
});

Deno.test("parse: an alias is the verb", () => {
  assert.deepEqual(parse("logs -f").call.verb, ["log"]);
  assert.deepEqual(parse("logs -f").call.options, { follow: true });
  assert.deepEqual(parse("ls").call.verb, ["list"]);
});

Deno.test("parse: refusals are usage errors that name the word and the nearest known one", () => {
  const rows: [string, RegExp][] = [
    ["", /without a command/],
    ["statsu", /Unknown command 'statsu'; did you mean "status"/],
    ["config chek", /did you mean "check"/],
    ["config", /without a subcommand/],
    ["up --dettach", /did you mean "--detach"/],
    ["status extra", /[Tt]oo many arguments/],
    ["exec", /missing required argument/i],
    ["-o xml status", /output "xml": wanted one of/],
    ["--timeout soon status", /"soon": wanted a duration/],
  ];
  for (const [line, wanted] of rows) {
    const error = refusal(line);
    assert.equal(error.code, "usage", line);
    assert.match(error.message, wanted, line);
  }
});

Deno.test("parse: every verb has help, a summary without a full stop, and no clash of letters", () => {
  for (const { path, spec } of allVerbs()) {
    assert.doesNotMatch(spec.summary, /\.$/, path.join(" "));
    const help = parseCommandLine([...path, "--help"], {});
    assert.equal(help.kind, "help", path.join(" "));
    if (help.kind === "help") assert.match(help.text, new RegExp(`Usage: rum ${path.join(" ")}`));
    const names = (spec.options ?? []).flatMap((o) =>
      o.flags.split(/[ ,]+/).filter((w) => w.startsWith("-"))
    );
    assert.equal(new Set(names).size, names.length, `${path.join(" ")}: ${names}`);
  }
});

Deno.test("parse: everything after ssh is ssh's own, options that rum has too included", () => {
  const rows: [string, string[]][] = [
    ["ssh", []],
    ["ssh -T -o LogLevel=ERROR sudo id -u", ["-T", "-o", "LogLevel=ERROR", "sudo", "id", "-u"]],
    ["-m web ssh -v -L 1:2:3", ["-v", "-L", "1:2:3"]],
    ["ssh -q -c aes -m hmac ls -h", ["-q", "-c", "aes", "-m", "hmac", "ls", "-h"]],
    ["ssh ls -la", ["ls", "-la"]],
  ];
  for (const [line, operands] of rows) {
    const { call, globals, output } = parse(line);
    assert.deepEqual(call.operands, operands, line);
    assert.deepEqual([globals.verbose, globals.config, output], [false, undefined, "auto"], line);
  }
});

Deno.test("quick parse: what it reads, commander reads the same way", () => {
  const verbs = [...allVerbs()].filter(({ spec }) => spec.load !== undefined);
  const words = fc.constantFrom("x", "a b", "-", "--", "8080", "json", "--weird", "-Q", "");
  const optionWords = (option: OptionSpec) => {
    const names = option.flags.split(/[ ,]+/).filter((w) => w.startsWith("-"));
    const name = fc.constantFrom(...names);
    if (!option.flags.includes("<")) return name.map((n) => [n]);
    const value = option.flags.includes("--timeout")
      ? fc.constantFrom("5s", "2m")
      : option.flags.includes("--output")
      ? fc.constantFrom("json", "plain")
      : words;
    return fc.oneof(
      fc.tuple(name, value).map(([n, v]) => [n, v]),
      fc.tuple(name, value).map(([n, v]) => n.startsWith("--") ? [`${n}=${v}`] : [n, v]),
    );
  };
  const line = fc.constantFrom(...verbs).chain(({ path, spec }) => {
    const own = [...(spec.options ?? []), ...GLOBAL_OPTIONS].map(optionWords);
    return fc.tuple(
      fc.array(fc.oneof(...GLOBAL_OPTIONS.map(optionWords)), { maxLength: 2 }),
      fc.array(fc.oneof(...own, words.map((w) => [w])), { maxLength: 4 }),
    ).map(([before, after]) => [...before.flat(), ...path, ...after.flat()]);
  });
  let read = 0;
  fc.assert(
    fc.property(line, (argv) => {
      const quick = quickParse(argv);
      if (quick === undefined) return;
      read++;
      const full = parseCommandLine(argv, {});
      assert.equal(full.kind, "call", argv.join(" "));
      if (full.kind !== "call") return;
      assert.deepEqual(
        [quick.verb, [...quick.operands], quick.options, globalsOf(quick.given, {})],
        [full.call.verb, [...full.call.operands], full.call.options, {
          globals: full.globals,
          output: full.output,
        }],
        argv.join(" "),
      );
    }),
    { numRuns: Deno.env.get("FULL") === "1" ? 20_000 : 1000 },
  );
  assert.ok(read > 100, `only ${read} lines were plain`);
});
