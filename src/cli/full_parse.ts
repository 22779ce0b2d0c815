/**
 * argv → which verb, with which options: commander, fed from the rows of the tree.
 *
 * Only the verb that is called gets its options registered; the others are names, for help and for
 * "did you mean". Global options are accepted before the verb and after it, except where the verb
 * has one of the same letter (`screenshot -o FILE`): there the verb's meaning wins after the verb.
 */
import { Command, CommanderError, Option } from "commander";
import { RumError } from "../base/errors.ts";
import { nearest } from "../base/typo.ts";
import { GLOBAL_OPTIONS, TREE } from "./tree.ts";
import { type Env, globalsOf, type Parsed } from "./globals.ts";
import type { OptionSpec, VerbSpec } from "./verb.ts";

/** @throws {RumError} `usage` when the words do not parse */
export function parseFully(argv: readonly string[], env: Env, columns = 100): Parsed {
  const path = verbPathOf(argv);
  let result: Parsed | undefined;
  let help = "";
  const root = new Command("rum");
  root.description("One rum.toml, one command, one real virtual machine.");
  root.usage("[options] <command> [arguments]");
  root.enablePositionalOptions();
  root.helpCommand("help [command]", "help for a command");
  root.option("-V, --version", "version, commit and form");
  configure(root);
  for (const option of GLOBAL_OPTIONS) root.addOption(optionOf(option));
  for (const spec of TREE) addVerb(root, spec, []);

  try {
    root.parse([...argv], { from: "user" });
    if (result === undefined && root.opts().version) return { kind: "version" };
    if (result === undefined) {
      throw new RumError("usage", "Cannot run without a command", { hint: "rum --help" });
    }
    return result;
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    if (error.exitCode === 0) return { kind: "help", text: help };
    if (error.code === "commander.help") {
      // A parent verb without its child: the help, as a usage error.
      const sentence = argv.length === 0
        ? "Cannot run without a command"
        : `Cannot run "rum ${path.join(" ")}" without a subcommand`;
      throw new RumError("usage", sentence, { hint: ["rum", ...path, "--help"].join(" ") });
    }
    throw usageError(error, path);
  }

  function configure(command: Command): void {
    command.exitOverride();
    command.showSuggestionAfterError(true);
    command.configureOutput({
      writeOut: (text) => help += text,
      writeErr: (text) => help += text,
      getOutHelpWidth: () => columns,
      getErrHelpWidth: () => columns,
      outputError: () => {},
    });
    command.configureHelp({ showGlobalOptions: false });
  }

  function addVerb(parent: Command, spec: VerbSpec, above: readonly string[]): void {
    const here = [...above, spec.name];
    const command = new Command(spec.name);
    configure(command);
    command.summary(spec.summary);
    command.description(
      spec.details === undefined ? spec.summary : `${spec.summary}\n\n${spec.details}`,
    );
    for (const alias of spec.aliases ?? []) command.alias(alias);
    parent.addCommand(command, { hidden: spec.hidden ?? false });
    const called = here.every((word, i) => isVerb(path[i], i === 0 ? TREE : undefined, word));
    if (!called) return;
    if (spec.verbs !== undefined) {
      command.helpCommand(false);
      for (const child of spec.verbs) addVerb(command, child, here);
      return;
    }
    if (spec.operands !== undefined) command.arguments(spec.operands);
    const own = spec.options ?? [];
    for (const option of own) command.addOption(optionOf(option));
    for (const option of spec.foreignOptions ? [] : GLOBAL_OPTIONS) {
      const free = withoutClash(option, own);
      if (free !== undefined) command.addOption(optionOf(free).hideHelp());
    }
    command.addHelpText("after", "\nGlobal options: rum --help");
    if (spec.passThrough) command.passThroughOptions();
    if (spec.foreignOptions) command.allowUnknownOption().helpOption("--help");
    command.action(() => {
      const operands = command.args;
      const ownNames = new Set(own.map((o) => optionOf(o).attributeName()));
      const options: Record<string, unknown> = {};
      const given: Record<string, unknown> = { ...root.opts() };
      for (const [name, value] of Object.entries(command.opts())) {
        if (command.getOptionValueSource(name) === "default") continue;
        if (ownNames.has(name)) options[name] = value;
        else given[name] = value;
      }
      const globals = globalsOf(given, env);
      result = {
        kind: "call",
        spec,
        call: { verb: here, operands, options },
        globals: globals.globals,
        output: globals.output,
      };
    });
  }
}

/** The words of argv that name a verb, aliases resolved, options before it skipped. */
function verbPathOf(argv: readonly string[]): string[] {
  const takesValue = new Set(
    GLOBAL_OPTIONS.filter((o) => o.flags.includes("<")).flatMap((o) =>
      o.flags.split(/[ ,]+/).filter((w) => w.startsWith("-"))
    ),
  );
  const path: string[] = [];
  let level: readonly VerbSpec[] | undefined = TREE;
  for (let i = 0; i < argv.length && level !== undefined; i++) {
    const word = argv[i];
    if (word.startsWith("-")) {
      if (takesValue.has(word)) i++;
      continue;
    }
    if (word === "help" && path.length === 0) continue;
    const spec: VerbSpec | undefined = level.find((v) =>
      v.name === word || v.aliases?.includes(word)
    );
    if (spec === undefined) break;
    path.push(spec.name);
    level = spec.verbs;
  }
  return path;
}

function isVerb(
  word: string | undefined,
  tree: readonly VerbSpec[] | undefined,
  name: string,
): boolean {
  return word === name ||
    (tree?.some((v) => v.name === name && v.aliases?.includes(word ?? "")) ?? false);
}

function optionOf(spec: OptionSpec): Option {
  const option = new Option(spec.flags, spec.summary);
  if (spec.hidden) option.hideHelp();
  if (spec.repeatable) {
    option.argParser((value: string, before: string[] | undefined) => [...(before ?? []), value]);
  }
  return option;
}

/** A global option without the letter or word that the verb uses itself. */
function withoutClash(option: OptionSpec, own: readonly OptionSpec[]): OptionSpec | undefined {
  const names = (flags: string) => flags.split(/[ ,]+/).filter((w) => w.startsWith("-"));
  const taken = new Set(own.flatMap((o) => names(o.flags)));
  const [value] = option.flags.match(/<.*>/) ?? [""];
  const free = names(option.flags).filter((name) => !taken.has(name));
  if (!free.some((name) => name.startsWith("--"))) return undefined;
  return { ...option, flags: `${free.join(", ")} ${value}`.trim() };
}

function usageError(error: CommanderError, path: readonly string[]): RumError {
  const text = error.message.replace(/^error: /, "").replace(/\n\(Did you mean.*$/s, "");
  const sentence = text.charAt(0).toUpperCase() + text.slice(1);
  const unknown = /unknown (?:command|option) '([^']+)'/.exec(error.message)?.[1];
  const level = levelAt(path);
  const known = unknown?.startsWith("-")
    ? [...GLOBAL_OPTIONS, ...(level.spec?.options ?? [])].flatMap((o) =>
      o.flags.split(/[ ,]+/).filter((w) => w.startsWith("--"))
    )
    : level.verbs.filter((v) => !v.hidden).flatMap((v) => [v.name, ...(v.aliases ?? [])]);
  const guess = unknown === undefined ? undefined : nearest(unknown, known);
  return new RumError(
    "usage",
    guess === undefined ? sentence : `${sentence}; did you mean "${guess}"?`,
    { hint: ["rum", ...path, "--help"].join(" ") },
  );
}

function levelAt(path: readonly string[]): { spec?: VerbSpec; verbs: readonly VerbSpec[] } {
  let spec: VerbSpec | undefined;
  let verbs = TREE;
  for (const word of path) {
    spec = verbs.find((v) => v.name === word);
    verbs = spec?.verbs ?? [];
  }
  return { spec, verbs };
}
