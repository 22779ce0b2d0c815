/**
 * What is wrong with a rum.toml, as data. A *mistake* is found by a check and knows the key it is
 * about; a *diagnostic* is a mistake that was given its place in the text. Rendering is elsewhere
 * (render.ts), so that JSON, editors and terminals all get the same facts.
 */
import { printableLine } from "../base/printable.ts";

export type KeyPath = readonly (string | number)[];

export type DiagnosticCode =
  | "syntax"
  | "unknown_key"
  | "missing_key"
  | "unknown_name"
  | "wrong_type"
  | "wrong_value"
  | "conflict"
  | "unreadable";

export interface Mistake {
  readonly code: DiagnosticCode;
  readonly path: KeyPath;
  /** Which part of `key = value` is to be pointed at. */
  readonly at: "key" | "value";
  readonly message: string;
  /** "did you mean": the word to write instead. */
  readonly suggestion?: string;
}

export interface Diagnostic {
  readonly code: DiagnosticCode;
  /** The key, dotted; empty for mistakes of syntax. */
  readonly key: string;
  readonly message: string;
  readonly suggestion?: string;
  readonly file: string;
  /** 1-based, as editors count; columns in UTF-16 units. */
  readonly line: number;
  readonly column: number;
  /** First column after what is meant, on the same line. */
  readonly endColumn: number;
  /** The offending line, safe to print. */
  readonly source: string;
}

/** `mounts[1].target`, with quotes where TOML would want them. */
export function dotted(path: KeyPath): string {
  let text = "";
  for (const part of path) {
    if (typeof part === "number") text += `[${part}]`;
    else {
      const name = /^[A-Za-z0-9_-]+$/.test(part) ? part : JSON.stringify(printableLine(part, 60));
      text += text === "" ? name : `.${name}`;
    }
  }
  return text;
}

/** The key a path ends in, as a table header's name: `[[mounts]]`, `[network]`, "the file". */
export function tableName(path: KeyPath): string {
  if (path.length === 0) return "rum.toml";
  const names = path.filter((part) => typeof part === "string");
  return typeof path.at(-1) === "number" ? `[[${dotted(names)}]]` : `[${dotted(names)}]`;
}

/** A value as it is quoted in a sentence: short, on one line, without terminal controls. */
export function quoted(value: unknown): string {
  if (value instanceof Date) return "a date";
  if (typeof value === "string") return JSON.stringify(printableLine(value, 80));
  if (Array.isArray(value)) return value.length === 0 ? "an empty list" : "a list";
  if (typeof value === "object" && value !== null) return "a table";
  return String(value);
}
