import assert from "node:assert/strict";
import { RumError } from "../../../src/base/errors.ts";
import fc from "fast-check";
import { helpText } from "../../../src/cli/help.ts";
import { optionWords } from "../../../src/cli/option_words.ts";
import { parseCommandLine } from "../../../src/cli/parse.ts";
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
  for (const group of ["image", "port", "service"]) {
    assert.deepEqual(parse(`${group} list`).call.verb, [group, "ls"]);
  }
  assert.deepEqual(parse("image remove x").call.verb, ["image", "rm"]);
  assert.deepEqual(parse("port remove 1").call.verb, ["port", "rm"]);
});

Deno.test("parse: short options go together and take their value with or without a blank", () => {
  const rows: [string, Record<string, unknown>, string[]][] = [
    ["exec -it -uroot sh -c x", { interactive: true, tty: true, user: "root" }, ["sh", "-c", "x"]],
    ["exec -tiu root -- -x", { interactive: true, tty: true, user: "root" }, ["-x"]],
    ["exec -- -- ls", {}, ["--", "ls"]],
    ["log -fn5", { follow: true, lines: "5" }, []],
    ["log --lines=5 --since -1", { lines: "5", since: "-1" }, []],
    ["log --lines=", { lines: "" }, []],
    ["cp - :/x", {}, ["-", ":/x"]],
    ["cp -r -- -a :/x", { recursive: true }, ["-a", ":/x"]],
    ["up --reset -d", { reset: true, detach: true }, []],
    ["up --reset all", { reset: "all" }, []],
    ["up --reset=all", { reset: "all" }, []],
    ["screenshot -o a.png", { file: "a.png" }, []],
  ];
  for (const [line, options, operands] of rows) {
    const { call } = parse(line);
    assert.deepEqual([call.options, call.operands], [options, operands], line);
  }
  assert.match(refusal("down -f down").message, /down takes no operands/);
  assert.equal(parse("list -vqojson").output, "json");
});

Deno.test("parse: refusals are usage errors that name the word and the nearest known one", () => {
  const rows: [string, RegExp, string?][] = [
    ["", /without a command/, "rum --help"],
    ["statsu", /Unknown command "statsu"; did you mean "status"/, "rum --help"],
    ["config chek", /did you mean "check"/, "rum config --help"],
    ["help confg", /did you mean "config"/],
    ["config", /"rum config" without a subcommand/],
    ["up --dettach", /Unknown option "--dettach"; did you mean "--detach"/, "rum up --help"],
    ["up --dettach=1", /"--dettach"; did you mean "--detach"/],
    ["up --qiet", /did you mean "--quiet"/],
    ["up --serv x", /Unknown option "--serv"$/],
    ["--verison", /did you mean "--version"/],
    ["up --version", /Unknown option "--version"/],
    ["log -fz", /Unknown option "-z"/],
    ["up --detach=1", /"--detach" takes no value/],
    ["log -n", /"-n, --lines <n>" wants a value/],
    ["status extra", /Cannot use "extra": status takes no operands/],
    ["cp a", /Missing operand <dst>/],
    ["cp a b c", /Cannot use "c": cp takes only <src> <dst>/],
    ["exec", /Missing operand <argv\.\.\.>/],
    ["exec --", /Missing operand <argv\.\.\.>/],
    ["-- status", /wanted a command/],
    ["-o xml status", /output "xml": wanted one of/],
    ["--timeout soon status", /"soon": wanted a duration/],
    ["up --attach -d", /"--detach" and "--attach" together/, "rum up --help"],
    ["stats --history --watch", /"--watch" and "--history" together/, "rum stats --help"],
  ];
  for (const [line, wanted, hint] of rows) {
    const error = refusal(line);
    assert.equal(error.code, "usage", line);
    assert.match(error.message, wanted, line);
    if (hint !== undefined) assert.equal(error.hint, hint, line);
  }
});

Deno.test("parse: every verb refuses an unknown option, and operands it lacks or has no use for", () => {
  for (const { path, spec } of allVerbs()) {
    if (spec.foreignOptions || spec.passThrough || spec.verbs !== undefined) continue;
    const line = path.join(" ");
    assert.match(refusal(`${line} --nonsense`).message, /Unknown option "--nonsense"/, line);
    const wanted = spec.operands?.split(" ") ?? [];
    if (wanted[0]?.startsWith("<")) assert.match(refusal(line).message, /Missing operand/, line);
    if (!wanted.some((name) => name.includes("..."))) {
      const many = [line, ...wanted, "extra"].join(" ");
      assert.match(refusal(many).message, /Cannot use "extra"/, line);
    }
  }
});

Deno.test("parse: every verb has help, a summary without a full stop, and no clash of letters", () => {
  for (const { path, spec } of allVerbs()) {
    const name = path.join(" ");
    assert.doesNotMatch(spec.summary, /\.$/, name);
    for (const argv of [[...path, "--help"], ["help", ...path]]) {
      assert.deepEqual(parseCommandLine(argv, {}), { kind: "help", path }, name);
    }
    const text = helpText(path, 100);
    assert.ok(text.startsWith(`Usage: rum ${name}`), text);
    for (const option of spec.options ?? []) {
      assert.equal(text.includes(option.flags), option.hidden !== true, `${name} ${option.flags}`);
    }
    const names = (spec.options ?? []).flatMap((option) => optionWords(option).names);
    assert.equal(new Set(names).size, names.length, `${name}: ${names}`);
  }
});

Deno.test("help: a verb that prints events before its JSON document says so", () => {
  const telling = [...allVerbs()].filter(({ path }) =>
    /last line is the document/.test(helpText(path, 200))
  );
  assert.deepEqual(
    telling.map(({ path }) => path.join(" ")),
    ["up", "down", "restart", "pause", "resume", "destroy", "provision"],
  );
});

Deno.test("help: rum's own names every verb once and every global option, in any width", () => {
  for (const columns of [40, 80, 120]) {
    const text = helpText([], columns);
    for (const { path, spec } of allVerbs()) {
      if (path.length > 1) continue;
      const lines = text.split("\n").filter((l) => new RegExp(`^  ${spec.name}(,| )`).test(l));
      assert.equal(lines.length, spec.hidden ? 0 : 1, spec.name);
    }
    for (const { flags } of GLOBAL_OPTIONS) assert.ok(text.includes(flags), flags);
  }
  for (const line of helpText([], 80).split("\n")) assert.ok(line.length <= 80, line);
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

Deno.test("parse: any words give a call, help, or a usage error, and exec's come out as they went in", () => {
  const verbs = [...allVerbs()].filter(({ spec }) => spec.load !== undefined);
  const words = fc.constantFrom("x", "a b", "-", "--", "8080", "json", "--weird", "-Q", "", "-it");
  const written = (option: OptionSpec) => {
    const { names, value } = optionWords(option);
    const name = fc.constantFrom(...names);
    if (value === "none") return name.map((n) => [n]);
    return fc.tuple(name, words, fc.boolean()).map(([n, v, apart]) =>
      apart ? [n, v] : [n.startsWith("--") ? `${n}=${v}` : `${n}${v}`]
    );
  };
  const line = fc.constantFrom(...verbs).chain(({ path, spec }) => {
    const own = [...(spec.options ?? []), ...GLOBAL_OPTIONS].map(written);
    return fc.tuple(
      fc.array(fc.oneof(...GLOBAL_OPTIONS.map(written)), { maxLength: 2 }),
      fc.array(fc.oneof(...own, words.map((w) => [w])), { maxLength: 4 }),
    ).map(([before, after]) => [...before.flat(), ...path, ...after.flat()]);
  });
  let calls = 0;
  fc.assert(
    fc.property(line, (argv) => {
      try {
        if (parseCommandLine(argv, {}).kind === "call") calls++;
      } catch (error) {
        assert.ok(error instanceof RumError && error.code === "usage", String(error));
      }
    }),
    { numRuns: Deno.env.get("FULL") === "1" ? 20_000 : 1000 },
  );
  assert.ok(calls > 100, `only ${calls} lines were calls`);
  fc.assert(fc.property(fc.array(fc.string(), { minLength: 1, maxLength: 5 }), (argv) => {
    const parsed = parseCommandLine(["exec", "-u", "x", "--", ...argv], {});
    assert.ok(parsed.kind === "call");
    assert.deepEqual(parsed.call.operands, argv);
  }));
});
