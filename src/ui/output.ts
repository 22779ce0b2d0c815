/**
 * What a command prints, in three voices behind one interface: plain and interactive text for
 * people, JSON for programs. A verb hands over one value and one way to say it; it never asks which
 * mode is on, so no verb can forget JSON. SPEC section 10.
 *
 *   document  the one result of a command       JSON: one object, then nothing more on stdout
 *   record    one of many, as they happen        JSON: one line each (NDJSON)
 *   note      beside the result, for the eyes    stderr; JSON: one line each; not with -q
 *   bytes     raw output that is the result      stdout untouched (exec, cp -, screenshot -)
 */
import type { DocumentType } from "../protocol/output.ts";
import { type ErrorDocument, errorDocument, RumError } from "../base/errors.ts";

export type OutputMode = "interactive" | "plain" | "json";

export interface Output {
  readonly mode: OutputMode;
  readonly colour: boolean;
  /** Results, warnings and errors only. */
  readonly quiet: boolean;
  /** `type` and `"v":1` are added; `say` is called only when text is wanted. */
  document(type: DocumentType, body: object, say: () => string): void;
  record(type: DocumentType, body: object, say: () => string | undefined): void;
  note(text: string): void;
  /** Shown with -v only, on stderr. */
  detail(text: string): void;
  /** `more`: what the document says besides (whose failure it is, another exit code). */
  error(error: RumError, more?: Readonly<Record<string, unknown>>): void;
  bytes(chunk: Uint8Array): Promise<void>;
}

export interface OutputOptions {
  readonly mode: OutputMode;
  readonly colour: boolean;
  readonly verbose: boolean;
  readonly quiet: boolean;
  readonly stdout: { writeSync(bytes: Uint8Array): number };
  readonly stderr: { writeSync(bytes: Uint8Array): number };
}

const encoder = new TextEncoder();

export function createOutput(options: OutputOptions): Output {
  const { mode, colour, verbose, quiet } = options;
  const out = (text: string) => writeAll(options.stdout, encoder.encode(text));
  const err = (text: string) => writeAll(options.stderr, encoder.encode(text));
  const line = (text: string) => text.endsWith("\n") ? text : text + "\n";
  return {
    mode,
    colour,
    quiet,
    document(type, body, say) {
      out(mode === "json" ? JSON.stringify({ v: 1, type, ...body }) + "\n" : textOrNothing(say()));
    },
    record(type, body, say) {
      if (mode === "json") return out(JSON.stringify({ v: 1, type, ...body }) + "\n");
      const text = say();
      if (text !== undefined) out(line(text));
    },
    note(text) {
      if (!quiet) aside("note", text);
    },
    detail(text) {
      if (verbose) aside("detail", text);
    },
    error(error, more) {
      const doc = { ...errorDocument(error), ...more };
      err(mode === "json" ? JSON.stringify(doc) + "\n" : renderError(doc, { colour, verbose }));
    },
    bytes(chunk) {
      writeAll(options.stdout, chunk);
      return Promise.resolve();
    },
  };

  function aside(type: "note" | "detail", message: string): void {
    err(mode === "json" ? JSON.stringify({ v: 1, type, message }) + "\n" : line(message));
  }

  function textOrNothing(text: string): string {
    return text === "" ? "" : line(text);
  }
}

/** `error: sentence`, the causes with -v, the hint. */
export function renderError(
  doc: ErrorDocument,
  { colour, verbose }: { colour: boolean; verbose: boolean },
): string {
  const red = (text: string) => colour ? `\x1b[1;31m${text}\x1b[0m` : text;
  const lines = [`${red("error:")} ${doc.message}`];
  if (verbose) { for (const cause of doc.causes ?? []) lines.push(`  because: ${cause}`); }
  if (doc.hint !== undefined) lines.push(`  hint: ${doc.hint}`);
  return lines.join("\n") + "\n";
}

function writeAll(to: { writeSync(bytes: Uint8Array): number }, bytes: Uint8Array): void {
  try {
    for (let at = 0; at < bytes.length;) at += to.writeSync(bytes.subarray(at));
  } catch (error) {
    // Nobody reading is no failure; whoever called decides.
    if (!(error instanceof Error) || Reflect.get(error, "code") !== "ENOSPC") throw error;
    throw new RumError("disk_full", "Cannot write the output: no space is left where it goes", {
      hint: "df -h",
      cause: error,
    });
  }
}
