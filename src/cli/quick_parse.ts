/**
 * The plain command lines, without commander: loading it costs more than a whole `rum status`. This
 * reads the same rows, and only what can be read in one way: known verbs, known options in their
 * plain forms (`--long value`, `--long=value`, `-s value`, `-s`), as many operands as the verb takes.
 * For anything else, help and mistakes included, it answers undefined and commander decides; a test
 * holds the two together.
 */
import { GLOBAL_OPTIONS, TREE } from "./tree.ts";
import type { OptionSpec, VerbSpec } from "./verb.ts";

export interface QuickCall {
  readonly spec: VerbSpec;
  readonly verb: readonly string[];
  readonly operands: readonly string[];
  readonly options: Readonly<Record<string, unknown>>;
  /** Global options, by attribute name. */
  readonly given: Readonly<Record<string, unknown>>;
}

interface Known {
  readonly name: string;
  readonly value: "none" | "required" | "optional";
  readonly negated: boolean;
  readonly repeatable: boolean;
  readonly own: boolean;
}

export function quickParse(argv: readonly string[]): QuickCall | undefined {
  const options: Record<string, unknown> = {};
  const given: Record<string, unknown> = {};
  let level = TREE;
  let spec: VerbSpec | undefined;
  const verb: string[] = [];
  let known = tableOf([], GLOBAL_OPTIONS);
  let at = 0;
  for (; at < argv.length; at++) {
    const word = argv[at];
    if (word.startsWith("-")) {
      const taken = takeOption(argv, at, known, options, given);
      if (taken === undefined) return undefined;
      at += taken - 1;
      continue;
    }
    if (spec !== undefined && spec.verbs === undefined) break;
    const next: VerbSpec | undefined = level.find((v) =>
      v.name === word || v.aliases?.includes(word)
    );
    if (next === undefined) return undefined;
    verb.push(next.name);
    spec = next;
    level = next.verbs ?? [];
    known = tableOf(next.options ?? [], GLOBAL_OPTIONS);
  }
  // Words of another program are not ours to read at all.
  if (spec?.load === undefined || spec.foreignOptions) return undefined;
  const operands: string[] = [];
  for (; at < argv.length; at++) {
    const word = argv[at];
    if (spec.passThrough) {
      operands.push(...argv.slice(at));
      break;
    }
    if (word.startsWith("-")) {
      const taken = takeOption(argv, at, known, options, given);
      if (taken === undefined) return undefined;
      at += taken - 1;
    } else operands.push(word);
  }
  return fits(spec.operands, operands.length)
    ? { spec, verb, operands, options, given }
    : undefined;
}

/** How many words the option at `at` takes; undefined when it is not plain. */
function takeOption(
  argv: readonly string[],
  at: number,
  known: ReadonlyMap<string, Known>,
  options: Record<string, unknown>,
  given: Record<string, unknown>,
): number | undefined {
  const word = argv[at];
  const equals = word.startsWith("--") ? word.indexOf("=") : -1;
  const option = known.get(equals < 0 ? word : word.slice(0, equals));
  if (option === undefined) return undefined;
  const into = option.own ? options : given;
  const set = (value: unknown) => {
    into[option.name] = option.repeatable
      ? [...(into[option.name] as unknown[] | undefined ?? []), value]
      : value;
  };
  if (equals >= 0) {
    if (option.value === "none") return undefined;
    set(word.slice(equals + 1));
    return 1;
  }
  switch (option.value) {
    case "none":
      set(!option.negated);
      return 1;
    case "required": {
      const value = argv[at + 1];
      // A value that looks like an option is for commander to judge.
      if (value === undefined || value.startsWith("-")) return undefined;
      set(value);
      return 2;
    }
    case "optional":
      if (argv[at + 1] !== undefined && !argv[at + 1].startsWith("-")) return undefined;
      set(true);
      return 1;
  }
}

function tableOf(
  own: readonly OptionSpec[],
  globals: readonly OptionSpec[],
): Map<string, Known> {
  const table = new Map<string, Known>();
  for (const [options, isOwn] of [[globals, false], [own, true]] as const) {
    for (const option of options) {
      const names = option.flags.split(/[ ,]+/).filter((w) => w.startsWith("-"));
      const long = names.find((n) => n.startsWith("--")) ?? names[0];
      const negated = long.startsWith("--no-");
      const bare = long.replace(/^--?/, "").replace(/^no-/, "");
      const entry: Known = {
        name: bare.replace(/-([a-z])/g, (_, letter: string) => letter.toUpperCase()),
        value: option.flags.includes("<")
          ? "required"
          : option.flags.includes("[")
          ? "optional"
          : "none",
        negated,
        repeatable: option.repeatable ?? false,
        own: isOwn,
      };
      for (const name of names) table.set(name, entry);
    }
  }
  return table;
}

/** `<src> <dst>`, `[image]`, `<argv...>`: does the number fit? */
function fits(operands: string | undefined, count: number): boolean {
  const wanted = operands === undefined ? [] : operands.split(" ");
  const least = wanted.filter((w) => w.startsWith("<")).length;
  const most = wanted.some((w) => w.includes("...")) ? Infinity : wanted.length;
  return count >= least && count <= most;
}
