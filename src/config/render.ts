/** Diagnostics as a person reads them: place, sentence, the line, a caret, did-you-mean. */
import { RumError } from "../base/errors.ts";
import type { Diagnostic } from "./diagnostics.ts";

export interface RenderOptions {
  readonly colour: boolean;
  /** Cut long lines around the mistake. */
  readonly width?: number;
}

export function renderDiagnostics(
  diagnostics: readonly Diagnostic[],
  options: RenderOptions,
): string {
  return diagnostics.map((diagnostic) => renderDiagnostic(diagnostic, options)).join("\n\n");
}

export function renderDiagnostic(diagnostic: Diagnostic, options: RenderOptions): string {
  const paint = (code: string, text: string) =>
    options.colour ? `\x1b[${code}m${text}\x1b[0m` : text;
  const { file, line, column, endColumn, message, suggestion } = diagnostic;
  const place = paint("1", `${file}:${line}:${column}:`);
  const lines = [`${place} ${message}`];
  if (diagnostic.source.trim() !== "") {
    const { text, shift } = cut(diagnostic.source, column, options.width ?? 100);
    const number = String(line).padStart(5);
    const end = Math.min(endColumn - shift, text.length + 1);
    const length = Math.max(1, end - (column - shift));
    lines.push(
      `${paint("2", `${number} |`)} ${text}`,
      `${paint("2", "      |")} ${" ".repeat(column - 1 - shift)}${
        paint("1;31", "^".repeat(length))
      }`,
    );
  }
  if (suggestion !== undefined) {
    lines.push(`${paint("2", "      =")} did you mean ${paint("1", suggestion)}?`);
  }
  return lines.join("\n");
}

/** A window of a long line that holds the column. */
function cut(source: string, column: number, width: number): { text: string; shift: number } {
  const whole = source.trimEnd();
  if (whole.length <= width) return { text: whole, shift: 0 };
  const shift = Math.max(0, column - 1 - Math.floor(width / 3));
  return { text: whole.slice(shift, shift + width), shift };
}

/** `rum.toml has 12 mistakes`. */
export function summary(file: string, count: number): string {
  return `${file} has ${count === 1 ? "a mistake" : `${count} mistakes`}`;
}

/** Past these a file is hardly rum.toml, and the list helps nobody. */
const RENDERED_MAX = 50;
const LISTED_MAX = 500;

/** All of them as one error: rendered in its message, and as data. */
export function invalid(
  diagnostics: readonly Diagnostic[],
  options: { shownAs: string; colour?: boolean },
): RumError {
  const count = diagnostics.length;
  const colour = options.colour ?? false;
  const rendered = renderDiagnostics(diagnostics.slice(0, RENDERED_MAX), { colour }) +
    (count > RENDERED_MAX ? `\n\n… and ${count - RENDERED_MAX} more` : "");
  return new RumError(
    "config_invalid",
    `${summary(options.shownAs, count)}\n\n${rendered}\n`,
    { data: { count, diagnostics: diagnostics.slice(0, LISTED_MAX) } },
  );
}
