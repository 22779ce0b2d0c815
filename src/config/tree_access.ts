/**
 * Reading a tree that may be wrong anywhere: checks that look at several keys at once run even when
 * other keys are mistaken, so they take what is usable and pass over the rest (shape.ts has told).
 */
import type { KeyPath } from "./diagnostics.ts";
import { kindOf } from "./schema_parts.ts";
import type { Tree } from "./syntax.ts";

export interface Located {
  readonly table: Tree;
  readonly path: KeyPath;
}

export function tableAt(tree: Tree, ...path: string[]): Tree | undefined {
  let at: unknown = tree;
  for (const part of path) {
    if (kindOf(at) !== "table" || !Object.hasOwn(at as Tree, part)) return undefined;
    at = (at as Tree)[part];
  }
  return kindOf(at) === "table" ? at as Tree : undefined;
}

/** The tables of `[[path]]`, with their places; what is no table is passed over. */
export function tablesAt(tree: Tree, ...path: string[]): Located[] {
  const parent = tableAt(tree, ...path.slice(0, -1));
  const list = parent === undefined ? undefined : own(parent, path[path.length - 1]);
  if (!Array.isArray(list)) return [];
  return list.flatMap((item, i) =>
    kindOf(item) === "table" ? [{ table: item as Tree, path: [...path, i] }] : []
  );
}

/** The tables of `[path.NAME]`. */
export function namedTablesAt(tree: Tree, ...path: string[]): (Located & { name: string })[] {
  const parent = tableAt(tree, ...path);
  if (parent === undefined) return [];
  return Object.keys(parent).flatMap((name) =>
    kindOf(parent[name]) === "table"
      ? [{ name, table: parent[name] as Tree, path: [...path, name] }]
      : []
  );
}

export function own(table: Tree, key: string): unknown {
  return Object.hasOwn(table, key) ? table[key] : undefined;
}

export function textOf(table: Tree, key: string): string | undefined {
  const value = own(table, key);
  return typeof value === "string" ? value : undefined;
}

export function wholeOf(table: Tree, key: string): number | undefined {
  const value = own(table, key);
  return typeof value === "number" && Number.isInteger(value) ? value : undefined;
}

/** The strings of a list, with their places in it. */
export function textsOf(table: Tree, key: string): { text: string; index: number }[] {
  const value = own(table, key);
  if (!Array.isArray(value)) return [];
  return value.flatMap((text, index) => typeof text === "string" ? [{ text, index }] : []);
}
