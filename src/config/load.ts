/**
 * rum.toml → Config, or everything that is wrong with it at once.
 *
 *   text ─ syntax.ts ─→ tree ─ shape.ts ──────→ values with defaults ─ build.ts ─→ Config
 *                        ├── cross_checks.ts ─→ mistakes ┐
 *                        ├── host_files.ts ───→ mistakes ┼─ positions.ts ─→ diagnostics
 *                        └── (syntax, shape) ─→ mistakes ┘
 *
 * `checkConfig` is pure but for its injected reader. It never throws for anything a file can hold:
 * the file may come from a guest (SPEC section 11).
 */
import * as posix from "../base/posix_path.ts";
import { RumError } from "../base/errors.ts";
import { buildConfig, effectiveToml } from "./build.ts";
import { crossCheck } from "./cross_checks.ts";
import { type Diagnostic, type DiagnosticCode, dotted, type Mistake } from "./diagnostics.ts";
import { type ConfigReader, readHostFiles } from "./host_files.ts";
import { diskReader } from "./read.ts";
import { invalid } from "./render.ts";
import type { RumToml } from "./schema.ts";
import { checkShape } from "./shape.ts";
import { type ParsedText, parseText } from "./syntax.ts";
import { type HostKey, hostKeysOf } from "./trust.ts";
import type { Config } from "./types.ts";

export type CheckResult =
  | {
    readonly kind: "ok";
    readonly config: Config;
    readonly hostKeys: readonly HostKey[];
    /** The file's own words with every default. */
    readonly effective: RumToml;
  }
  | { readonly kind: "bad"; readonly diagnostics: readonly Diagnostic[] };

export interface CheckOptions {
  /** Absolute and canonical; also what diagnostics call the file, unless `shownAs` is given. */
  readonly path: string;
  readonly folder: string;
  readonly reader: ConfigReader;
  readonly shownAs?: string;
}

const ABSENCES: ReadonlySet<DiagnosticCode> = new Set(["missing_key", "unknown_name"]);

export async function checkConfig(text: string, options: CheckOptions): Promise<CheckResult> {
  // A byte order mark is no part of the file; columns are counted without it.
  const original = text.replace(/^\ufeff/, "");
  const parsed = parseText(original);
  const shape = checkShape(parsed.tree);
  const { files, mistakes: unreadable } = await readHostFiles(
    parsed.tree,
    options.folder,
    options.reader,
  );
  const broken = parsed.mistakes.length > 0;
  // A statement that could not be read may be the very key or name that seems to be missing.
  const told = (mistake: Mistake) => !(broken && ABSENCES.has(mistake.code));
  const misshapen = shape.ok ? [] : shape.mistakes;
  const shapeTold = new Set(misshapen.map(({ path }) => dotted(path)));
  const mistakes = [
    ...misshapen,
    ...crossCheck(parsed.tree).filter(({ path }) => !shapeTold.has(dotted(path))),
    ...unreadable,
  ].filter(told);
  if (shape.ok && !broken && mistakes.length === 0) {
    const config = buildConfig(shape.value, { path: options.path, folder: options.folder, files });
    return {
      kind: "ok",
      config,
      hostKeys: hostKeysOf(config),
      effective: effectiveToml(shape.value, config),
    };
  }
  return { kind: "bad", diagnostics: await place(original, parsed, mistakes, options) };
}

async function place(
  original: string,
  parsed: ParsedText,
  mistakes: readonly Mistake[],
  options: CheckOptions,
): Promise<Diagnostic[]> {
  const file = options.shownAs ?? options.path;
  const lines = original.split("\n");
  // Column by column, so that the caret stays where it belongs.
  const sourceOf = (line: number) =>
    (lines[line - 1] ?? "").replace(
      /[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]/g,
      " ",
    ).trimEnd().slice(0, 2000);
  const diagnostics: Diagnostic[] = parsed.mistakes.map(({ line, column, message }) => ({
    code: "syntax",
    key: "",
    message,
    file,
    line,
    column,
    endColumn: column + 1,
    source: sourceOf(line),
  }));
  if (mistakes.length > 0) {
    const { findPositions } = await import("./positions.ts");
    const positions = findPositions(parsed.text);
    for (const { code, path, at, message, suggestion } of mistakes) {
      const { line, column, endColumn } = positions.locate(path, at);
      const source = sourceOf(line);
      diagnostics.push({
        code,
        key: dotted(path),
        message,
        ...(suggestion === undefined ? {} : { suggestion }),
        file,
        line,
        column,
        endColumn: Math.max(column + 1, Math.min(endColumn, source.length + 1)),
        source,
      });
    }
  }
  return diagnostics.sort((a, b) => a.line - b.line || a.column - b.column);
}

export interface LoadOptions {
  /** What `~/` stands for. */
  readonly home: string;
  /** How messages call the file: relative to the working directory, say. */
  readonly shownAs?: string;
  /** For the diagnostics inside the error's message. */
  readonly colour?: boolean;
}

/** No file that a person wrote is larger, and a guest's is not read further. */
const CONFIG_BYTES_MAX = 1024 * 1024;

/**
 * Reads and checks the file at `path` (made canonical).
 *
 * @throws {RumError} `config_not_found`, `config_unreadable`
 */
export async function checkFile(path: string, options: LoadOptions): Promise<CheckResult> {
  const reader = diskReader(options.home);
  const shown = options.shownAs ?? path;
  let canonical: string;
  try {
    canonical = await Deno.realPath(path);
  } catch (cause) {
    throw new RumError("config_not_found", `Configuration ${shown} does not exist`, {
      hint: "rum init",
      cause,
    });
  }
  let text: string;
  try {
    const bytes = await reader.read(canonical, CONFIG_BYTES_MAX);
    if (bytes.length > CONFIG_BYTES_MAX) throw new Error("it is larger than 1 MiB");
    text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (cause) {
    const why = cause instanceof TypeError ? "it is not UTF-8 text" : (cause as Error).message;
    throw new RumError("config_unreadable", `Configuration ${shown} cannot be read: ${why}`, {
      cause,
    });
  }
  return await checkConfig(text, {
    path: canonical,
    folder: posix.dirname(canonical),
    reader,
    shownAs: shown,
  });
}

/**
 * As `checkFile`, for those who need a good file or none.
 *
 * @throws {RumError} `config_invalid` with all diagnostics, rendered in the message and as data
 */
export async function loadConfig(path: string, options: LoadOptions): Promise<Config> {
  const result = await checkFile(path, options);
  if (result.kind === "ok") return result.config;
  throw invalid(result.diagnostics, { shownAs: options.shownAs ?? path, ...options });
}
