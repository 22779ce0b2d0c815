/**
 * Where each key and value stands in the text. Loaded only when there is something to point at:
 * toml-eslint-parser costs more to load than a good file costs to check. Where the two parsers
 * disagree about a file, every mistake is placed at its first line rather than not told at all.
 */
import { type AST, parseTOML } from "toml-eslint-parser";
import type { KeyPath } from "./diagnostics.ts";

export interface Span {
  readonly line: number;
  readonly column: number;
  /** On the same line; a value of several lines is pointed at where it begins. */
  readonly endColumn: number;
}

export interface Positions {
  /** The key or value itself, or the nearest thing around it that has a place. */
  locate(path: KeyPath, at: "key" | "value"): Span;
}

interface Place {
  readonly key: Span;
  readonly value: Span;
}

const TOP: Span = { line: 1, column: 1, endColumn: 1 };

export function findPositions(text: string): Positions {
  const places = new Map<string, Place>();
  try {
    for (const node of parseTOML(text, { tomlVersion: "next" }).body[0].body) {
      if (node.type === "TOMLTable") addTable(node, places);
      else addKeyValue(node, [], places);
    }
  } catch {
    // Told by smol-toml already where it is a real mistake; what was collected stays usable.
  }
  return {
    locate(path, at) {
      const own = places.get(nameOf(path));
      if (own !== undefined) return own[at];
      for (let length = path.length - 1; length > 0; length--) {
        const around = places.get(nameOf(path.slice(0, length)));
        if (around !== undefined) return around.key;
      }
      return TOP;
    },
  };
}

function addTable(table: AST.TOMLTable, places: Map<string, Place>): void {
  const span = spanOf(table.key.loc);
  // [a.b.c] also makes a and a.b, unless an earlier header did.
  for (let length = 1; length <= table.resolvedKey.length; length++) {
    const name = nameOf(table.resolvedKey.slice(0, length));
    if (!places.has(name)) places.set(name, { key: span, value: span });
  }
  for (const node of table.body) addKeyValue(node, table.resolvedKey, places);
}

function addKeyValue(
  node: AST.TOMLKeyValue,
  base: KeyPath,
  places: Map<string, Place>,
): void {
  const path: (string | number)[] = [...base];
  node.key.keys.forEach((key, i) => {
    path.push(key.type === "TOMLBare" ? key.name : key.value);
    const span = spanOf(key.loc);
    const last = i === node.key.keys.length - 1;
    const name = nameOf(path);
    if (last || !places.has(name)) {
      places.set(name, { key: span, value: last ? spanOf(node.value.loc) : span });
    }
  });
  addInside(node.value, path, places);
}

function addInside(value: AST.TOMLContentNode, path: KeyPath, places: Map<string, Place>): void {
  if (value.type === "TOMLArray") {
    value.elements.forEach((element, i) => {
      const inside = [...path, i];
      const span = spanOf(element.loc);
      places.set(nameOf(inside), { key: span, value: span });
      addInside(element, inside, places);
    });
  } else if (value.type === "TOMLInlineTable") {
    for (const node of value.body) addKeyValue(node, path, places);
  }
}

/** A path as one string that no other path has. */
function nameOf(path: KeyPath): string {
  return JSON.stringify(path);
}

function spanOf(loc: AST.SourceLocation): Span {
  return {
    line: loc.start.line,
    column: loc.start.column + 1,
    endColumn: loc.end.line === loc.start.line ? loc.end.column + 1 : Infinity,
  };
}
