/**
 * argv → which verb, with which options, from the rows of the tree and nothing else.
 *
 *   -d  -it  --long  --no-long  --long=value  --long value  -s value  -svalue  --  -
 *
 * Global options are accepted before the verb and after it, except where the verb has one of the
 * same letter (`screenshot -o FILE`): there the verb's meaning wins after the verb. `-h` wins over
 * everything behind it. Words of another program (`exec`, `ssh`) are taken as they are, unread.
 *
 * No parser library: one that knows all of this costs more than a whole `rum status`, and two
 * parsers of one table would have to be held together for ever.
 */
import { RumError, toRumError } from "../base/errors.ts";
import { nearest } from "../base/typo.ts";
import { type Env, globalsOf, type Parsed } from "./globals.ts";
import { type OptionWords, optionWords } from "./option_words.ts";
import { GLOBAL_OPTIONS, HELP_OPTION, TREE, VERSION_OPTION } from "./tree.ts";
import type { OptionSpec, VerbSpec } from "./verb.ts";

/** A mistake in the words, and in whose words: a guest's exit codes must not be mixed with ours. */
export class UsageError extends RumError {
  readonly spec?: VerbSpec;

  constructor(sentence: string, path: readonly string[], spec: VerbSpec | undefined) {
    super("usage", sentence, { hint: ["rum", ...path, "--help"].join(" ") });
    this.spec = spec;
  }
}

interface Known extends OptionWords {
  readonly row: OptionSpec;
  readonly own: boolean;
}

/** @throws {RumError} `usage` when the words do not parse */
export function parseCommandLine(argv: readonly string[], env: Env): Parsed {
  const path: string[] = [];
  const options: Record<string, unknown> = {};
  const given: Record<string, unknown> = {};
  let spec: VerbSpec | undefined;
  let known = knownAt(undefined);
  let at = 0;
  const refuse = (sentence: string) => new UsageError(sentence, path, spec);

  const operands: string[] = [];
  while (at < argv.length) {
    const word = argv[at];
    const leaf = spec !== undefined && spec.verbs === undefined;
    if (leaf && spec!.foreignOptions && !(operands.length === 0 && word === "--help")) {
      operands.push(...argv.slice(at));
      break;
    }
    if (word === "--") {
      if (!leaf) throw refuse(`Cannot use "--" here: wanted a command`);
      operands.push(...argv.slice(at + 1));
      break;
    }
    if (word.length > 1 && word.startsWith("-")) {
      const asked = takeOption();
      if (asked === HELP_OPTION) return { kind: "help", path };
      continue;
    }
    if (leaf) {
      if (spec!.passThrough) {
        operands.push(...argv.slice(at));
        break;
      }
      operands.push(word);
    } else if (word === "help" && spec === undefined) {
      const rest = argv.slice(at + 1);
      const end = rest.findIndex((each) => each.startsWith("-"));
      return { kind: "help", path: helpPath(end < 0 ? rest : rest.slice(0, end), refuse) };
    } else enter(word);
    at++;
  }
  if (spec === undefined && given.version === true) {
    spec = TREE.find(({ name }) => name === "version")!;
    path.push(spec.name);
  }
  if (spec === undefined) throw refuse("Cannot run without a command");
  if (spec.verbs !== undefined) {
    throw refuse(`Cannot run "rum ${path.join(" ")}" without a subcommand`);
  }
  countOperands(spec, operands, refuse);
  refuseContraries(spec, options, refuse);
  const call = { verb: path, operands, options };
  try {
    return { kind: "call", spec, call, ...globalsOf(given, env) };
  } catch (error) {
    throw refuse(toRumError(error).message);
  }

  function enter(word: string): void {
    const level = spec?.verbs ?? TREE;
    const next = level.find((verb) => verb.name === word || verb.aliases?.includes(word));
    if (next === undefined) throw refuse(unknownCommand(word, level));
    path.push(next.name);
    spec = next;
    known = knownAt(next);
  }

  /** Reads the option at `at` and moves past it and its value. */
  function takeOption(): OptionSpec {
    const word = argv[at++];
    const long = word.startsWith("--");
    const equals = long ? word.indexOf("=") : -1;
    if (long) {
      const option = known.get(equals < 0 ? word : word.slice(0, equals));
      if (option === undefined) throw refuse(unknownOption(word.replace(/=.*/s, ""), known));
      set(option, equals < 0 ? undefined : word.slice(equals + 1));
      return option.row;
    }
    for (let i = 1;; i++) {
      const option = known.get(`-${word[i]}`);
      if (option === undefined) throw refuse(unknownOption(`-${word[i]}`, known));
      const rest = word.slice(i + 1);
      // `-it` is `-i -t`; `-n5` is `-n 5`.
      const more = option.value === "none" && rest !== "" && option.row !== HELP_OPTION;
      set(option, option.value === "none" || rest === "" ? undefined : rest);
      if (!more) return option.row;
    }
  }

  function set(option: Known, attached: string | undefined): void {
    const into = option.own ? options : given;
    const put = (value: unknown) => {
      into[option.attribute] = option.row.repeatable
        ? [...(into[option.attribute] as unknown[] | undefined ?? []), value]
        : value;
    };
    switch (option.value) {
      case "none":
        if (attached !== undefined) throw refuse(`Option "${option.shown}" takes no value`);
        return put(!option.negated);
      case "required":
        if (attached !== undefined) return put(attached);
        if (at >= argv.length) throw refuse(`Option "${option.row.flags}" wants a value`);
        return put(argv[at++]);
      case "optional":
        if (attached !== undefined) return put(attached);
        return put(at < argv.length && !argv[at].startsWith("-") ? argv[at++] : true);
    }
  }
}

/** `rum help service start` → the verb's path, aliases resolved. */
function helpPath(words: readonly string[], refuse: (sentence: string) => RumError): string[] {
  const path: string[] = [];
  let level: readonly VerbSpec[] = TREE;
  for (const word of words) {
    const next = level.find((verb) => verb.name === word || verb.aliases?.includes(word));
    if (next === undefined) throw refuse(unknownCommand(word, level));
    path.push(next.name);
    level = next.verbs ?? [];
  }
  return path;
}

/** Every word that is an option after `spec`; the verb's own meaning wins. */
function knownAt(spec: VerbSpec | undefined): Map<string, Known> {
  const rows: [readonly OptionSpec[], boolean][] = [
    [[HELP_OPTION, ...(spec === undefined ? [VERSION_OPTION] : [])], false],
    [GLOBAL_OPTIONS, false],
    [spec?.options ?? [], true],
  ];
  const known = new Map<string, Known>();
  for (const [options, own] of rows) {
    for (const row of options) {
      const option: Known = { ...optionWords(row), row, own };
      for (const name of option.names) known.set(name, option);
    }
  }
  return known;
}

function countOperands(
  spec: VerbSpec,
  operands: readonly string[],
  refuse: (sentence: string) => RumError,
): void {
  const wanted = spec.operands === undefined ? [] : spec.operands.split(" ");
  const missing = wanted[operands.length];
  if (missing?.startsWith("<")) throw refuse(`Missing operand ${missing}`);
  if (operands.length > wanted.length && !wanted.some((name) => name.includes("..."))) {
    const extra = operands[wanted.length];
    throw refuse(
      wanted.length === 0
        ? `Cannot use "${extra}": ${spec.name} takes no operands`
        : `Cannot use "${extra}": ${spec.name} takes only ${spec.operands}`,
    );
  }
}

/** Of two options that say the contrary none is dropped without a word. */
function refuseContraries(
  spec: VerbSpec,
  options: Readonly<Record<string, unknown>>,
  refuse: (sentence: string) => RumError,
): void {
  const rows = (spec.options ?? []).map((row) => ({ ...optionWords(row), row }));
  for (const { attribute, shown, row } of rows) {
    if (options[attribute] === undefined) continue;
    const other = rows.find((other) =>
      row.excludes?.includes(other.attribute) && options[other.attribute] !== undefined
    );
    if (other !== undefined) throw refuse(`Cannot use "${other.shown}" and "${shown}" together`);
  }
}

function unknownCommand(word: string, level: readonly VerbSpec[]): string {
  const words = level.filter(({ hidden }) => !hidden)
    .flatMap(({ name, aliases }) => [name, ...(aliases ?? [])]);
  return didYouMean(`Unknown command "${word}"`, nearest(word, words));
}

function unknownOption(name: string, known: ReadonlyMap<string, Known>): string {
  const words = [...known].filter(([word, { row }]) => word.startsWith("--") && !row.hidden);
  const guess = name.startsWith("--") ? nearest(name, words.map(([word]) => word)) : undefined;
  return didYouMean(`Unknown option "${name}"`, guess);
}

function didYouMean(sentence: string, guess: string | undefined): string {
  return guess === undefined ? sentence : `${sentence}; did you mean "${guess}"?`;
}
