/**
 * TOML text → a tree, going on after mistakes of syntax so that they are reported together with
 * everything else. smol-toml stops at the first one; the statement it stopped in is blanked out
 * (line numbers stay) and the rest read again. What looks like the debris of a statement that was
 * blanked (a line that begins neither a key nor a table) is blanked without a word: one unclosed
 * bracket is one mistake, not ten.
 */
import { parse, TomlError } from "smol-toml";
import { printableLine } from "../base/printable.ts";

export type Tree = Readonly<Record<string, unknown>>;

export interface SyntaxMistake {
  readonly line: number;
  readonly column: number;
  readonly message: string;
}

export interface ParsedText {
  readonly tree: Tree;
  readonly mistakes: readonly SyntaxMistake[];
  /** The text that `tree` stands for: as given, with unreadable statements blanked. */
  readonly text: string;
}

/** Past this many the file is hardly TOML, and each further try costs a whole parse. */
const MISTAKES_MAX = 25;
const TRIES_MAX = 200;
/** rum.toml needs six. Every level of a key costs all levels above it again (SPEC section 11). */
const DEPTH_MAX = 64;

const HEADER = /^\s*\[/;
const STATEMENT = /^\s*(\[\[?\s*[A-Za-z0-9_"'-]|["'A-Za-z0-9_-][^=]*=)/;
/** A line that ends with its value still open, or with it closed. */
const OPEN = /[[{,]\s*(#.*)?$/;
const CLOSED = /[\]}]\s*(#.*)?$/;

export function parseText(original: string): ParsedText {
  const lines = original.split("\n");
  const mistakes: SyntaxMistake[] = [];
  const blanked = new Set<number>();
  for (let tries = 0; tries < TRIES_MAX; tries++) {
    const text = lines.join("\n");
    const result = parseOnce(text);
    if (result.tree !== undefined) {
      if (!isDeep(result.tree)) return { tree: result.tree, mistakes, text };
      const line = lines.findIndex((line) => (line.match(/[.[{]/g)?.length ?? 0) >= DEPTH_MAX) + 1;
      const message = `Nested more deeply than ${DEPTH_MAX} levels`;
      mistakes.push({ line: Math.max(line, 1), column: 1, message });
      break;
    }
    const mistake = result.mistake;
    const line = lastWithText(lines, Math.min(mistake.line, lines.length));
    if (line === 0) break;
    const isDebris = blanked.has(previousWithText(lines, blanked, line)) &&
      !STATEMENT.test(lines[line - 1]);
    if (!isDebris) {
      if (mistakes.length >= MISTAKES_MAX) break;
      mistakes.push(mistake);
    }
    const opened = isDebris ? undefined : openedAbove(lines, blanked, line);
    if (opened === undefined) blank(lines, blanked, line, blockEnd(lines, line));
    else blank(lines, blanked, opened, STATEMENT.test(lines[line - 1]) ? line - 1 : line);
  }
  return { tree: {}, mistakes, text: "" };
}

/** Level by level and not by recursion: the depth is the file's to choose. */
function isDeep(tree: Tree): boolean {
  let level: unknown[] = [tree];
  for (let depth = 0; level.length > 0; depth++) {
    if (depth > DEPTH_MAX) return true;
    level = level.flatMap((value) =>
      typeof value === "object" && value !== null ? Object.values(value) : []
    );
  }
  return false;
}

function parseOnce(
  text: string,
): { tree: Tree; mistake?: undefined } | { tree?: undefined; mistake: SyntaxMistake } {
  try {
    return { tree: parse(text) };
  } catch (thrown) {
    if (thrown instanceof TomlError) {
      return {
        mistake: { line: thrown.line, column: thrown.column, message: sentence(thrown, text) },
      };
    }
    // Anything else is the parser's own limit (stack, regular expression), at no known place.
    const why = thrown instanceof Error ? thrown.message : String(thrown);
    return { mistake: { line: 1, column: 1, message: `Not readable as TOML: ${why}` } };
  }
}

/** smol-toml's text without its prefix and its picture of the line. */
function sentence({ message, line, column }: TomlError, whole: string): string {
  const first = message.split("\n")[0].replace(/^Invalid TOML document: /, "");
  const text = printableLine(first, 200);
  // The control character that it means is then the end of the line.
  const rest = whole.split("\n")[line - 1]?.slice(column - 1).trim();
  if (rest === "" && text.startsWith("control characters")) {
    return "The string is not closed on this line";
  }
  if (text === "invalid value") return "Value is not TOML; text goes between quotes";
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** A header that cannot be read takes its whole table along: its keys would land in another. */
function blockEnd(lines: readonly string[], line: number): number {
  if (!HEADER.test(lines[line - 1])) return line;
  let end = line;
  while (end < lines.length && !HEADER.test(lines[end])) end++;
  return end;
}

/**
 * A list or table that was opened above and not closed swallows what follows; the error is then
 * noticed at some later line, but the statement to blank is the one that opened it.
 */
function openedAbove(
  lines: readonly string[],
  blanked: ReadonlySet<number>,
  line: number,
): number | undefined {
  for (let at = line - 1; at >= 1 && !blanked.has(at) && at > line - 50; at--) {
    const text = lines[at - 1];
    if (HEADER.test(text) && STATEMENT.test(text)) return undefined;
    if (STATEMENT.test(text)) return OPEN.test(text) ? at : undefined;
    if (CLOSED.test(text)) return undefined;
  }
  return undefined;
}

function blank(lines: string[], blanked: Set<number>, from: number, to: number): void {
  for (let at = from; at <= to; at++) {
    lines[at - 1] = "";
    blanked.add(at);
  }
}

function lastWithText(lines: readonly string[], line: number): number {
  let at = line;
  while (at >= 1 && lines[at - 1].trim() === "") at--;
  return at;
}

/** The nearest line above that is blanked or holds text. */
function previousWithText(
  lines: readonly string[],
  blanked: ReadonlySet<number>,
  line: number,
): number {
  let at = line - 1;
  while (at >= 1 && !blanked.has(at) && lines[at - 1].trim() === "") at--;
  return at;
}
