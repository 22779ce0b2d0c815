/**
 * `rum --help` and `rum VERB --help`, drawn from the rows of the tree. Loaded only when asked for.
 * Pure: a path and a width in, text out.
 */
import {
  GLOBAL_OPTIONS,
  HELP_OPTION,
  TELLS_EVENTS,
  TREE,
  TREE_GROUPS,
  VERSION_OPTION,
} from "./tree.ts";
import type { OptionSpec, VerbSpec } from "./verb.ts";

const MORE = "More: rum help <command>. Each option may stand in the environment: RUM_CONFIG, " +
  "RUM_MACHINE, RUM_OUTPUT, RUM_VERBOSE, RUM_QUIET, RUM_NO_INPUT, RUM_TIMEOUT.";

type Row = readonly [term: string, summary: string];

export function helpText(path: readonly string[], columns: number): string {
  const spec = specAt(path);
  return (spec === undefined ? rootHelp(columns) : verbHelp(path, spec, columns)) + "\n";
}

function rootHelp(columns: number): string {
  const options = [...GLOBAL_OPTIONS, VERSION_OPTION, HELP_OPTION].map(optionRow);
  const groups = TREE_GROUPS.map(({ title, verbs }) => ({ title, rows: verbRows(verbs) }));
  const width = widthOf([...options, ...groups.flatMap(({ rows }) => rows)]);
  return [
    "Usage: rum [options] <command> [arguments]",
    "One rum.toml, one command, one real virtual machine.",
    ...groups.map(({ title, rows }) => section(title, rows, width, columns)),
    section("Options, before or after the command", options, width, columns),
    wrapped(MORE, 0, columns),
  ].join("\n\n");
}

function verbHelp(path: readonly string[], spec: VerbSpec, columns: number): string {
  const name = ["rum", ...path].join(" ");
  const options = [
    ...(spec.options ?? []).filter(({ hidden }) => !hidden).map(optionRow),
    // `ssh -h` is for ssh to answer.
    optionRow(spec.foreignOptions ? { ...HELP_OPTION, flags: "--help" } : HELP_OPTION),
  ];
  const verbs = verbRows(spec.verbs ?? []);
  const width = widthOf([...options, ...verbs]);
  const rest = spec.verbs === undefined ? spec.operands : "<command>";
  return [
    `Usage: ${name} ${spec.foreignOptions ? "" : "[options] "}${rest ?? ""}`.trimEnd(),
    wrapped(spec.summary.charAt(0).toUpperCase() + spec.summary.slice(1) + ".", 0, columns),
    ...(spec.details === undefined ? [] : [spec.details]),
    ...(spec.tellsEvents ? [wrapped(TELLS_EVENTS, 0, columns)] : []),
    ...(spec.aliases === undefined ? [] : [`Also: ${spec.aliases.join(", ")}`]),
    ...(verbs.length === 0 ? [] : [section("Commands", verbs, width, columns)]),
    section("Options", options, width, columns),
    spec.foreignOptions
      ? "Global options (rum --help) go before it."
      : "Global options: rum --help",
  ].join("\n\n");
}

function specAt(path: readonly string[]): VerbSpec | undefined {
  let spec: VerbSpec | undefined;
  for (const word of path) spec = (spec?.verbs ?? TREE).find(({ name }) => name === word);
  return spec;
}

function verbRows(verbs: readonly VerbSpec[]): Row[] {
  return verbs.filter(({ hidden }) => !hidden)
    .map(({ name, aliases, summary }) => [[name, ...(aliases ?? [])].join(", "), summary]);
}

function optionRow({ flags, summary }: OptionSpec): Row {
  // A long word alone stands below the other long words.
  return [flags.startsWith("--") ? `    ${flags}` : flags, summary];
}

function widthOf(rows: readonly Row[]): number {
  return Math.max(...rows.map(([term]) => term.length));
}

function section(title: string, rows: readonly Row[], width: number, columns: number): string {
  const lines = rows.map(([term, summary]) =>
    `  ${term.padEnd(width)}  ${wrapped(summary, width + 4, columns)}`
  );
  return [`${title}:`, ...lines].join("\n");
}

/** Broken between words; the lines after the first begin at `indent`. */
function wrapped(text: string, indent: number, columns: number): string {
  const room = Math.max(24, columns - indent);
  const lines: string[] = [];
  for (const word of text.split(" ")) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + 1 + word.length <= room) {
      lines[lines.length - 1] = `${last} ${word}`;
    } else lines.push(word);
  }
  return lines.join("\n" + " ".repeat(indent));
}
