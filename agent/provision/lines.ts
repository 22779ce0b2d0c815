/**
 * Output as timed lines: two byte streams in, batches of lines out, each line with the moment it was
 * read and the stream it came from. Bytes that are no UTF-8 become replacement characters; a line
 * without an end is cut, so that a program which prints no line feed costs no memory.
 */
import type { ScriptLine } from "../../src/protocol/agent.ts";

const MAX_LINE = 16 * 1024;
const BATCH_BYTES = 48 * 1024;
const BATCH_LINES = 512;
const BATCH_MS = 40;

export class LineSplitter {
  readonly #decoder = new TextDecoder();
  #rest = "";

  push(bytes: Uint8Array): string[] {
    return this.#take(this.#decoder.decode(bytes, { stream: true }));
  }

  /** What is left without a line feed. */
  end(): string[] {
    const lines = this.#take(this.#decoder.decode());
    if (this.#rest !== "") lines.push(this.#rest);
    this.#rest = "";
    return lines;
  }

  #take(text: string): string[] {
    const parts = (this.#rest + text).split("\n");
    this.#rest = parts.pop() ?? "";
    const lines = parts.flatMap(cut);
    while (this.#rest.length > MAX_LINE) {
      lines.push(this.#rest.slice(0, MAX_LINE));
      this.#rest = this.#rest.slice(MAX_LINE);
    }
    return lines;
  }
}

function cut(line: string): string[] {
  if (line.length <= MAX_LINE) return [line];
  const parts: string[] = [];
  for (let at = 0; at < line.length; at += MAX_LINE) parts.push(line.slice(at, at + MAX_LINE));
  return parts;
}

/** Collects lines of both streams and hands them on in batches, one at a time, in order. */
export class LineBatcher {
  readonly #send: (lines: ScriptLine[]) => Promise<void>;
  #pending: ScriptLine[] = [];
  #bytes = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #sending: Promise<void> = Promise.resolve();

  constructor(send: (lines: ScriptLine[]) => Promise<void>) {
    this.#send = send;
  }

  /** Resolves at once while a batch fills, else when the batch has been taken. */
  async add(stream: ScriptLine["stream"], lines: readonly string[]): Promise<void> {
    const at = Date.now();
    for (const text of lines) {
      this.#pending.push({ at, stream, text });
      this.#bytes += text.length + 48;
      if (this.#bytes >= BATCH_BYTES || this.#pending.length >= BATCH_LINES) await this.flush();
    }
    if (this.#pending.length > 0) {
      this.#timer ??= setTimeout(() => this.flush().catch(() => {}), BATCH_MS);
    }
  }

  flush(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const lines = this.#pending;
    this.#pending = [];
    this.#bytes = 0;
    if (lines.length > 0) this.#sending = this.#sending.then(() => this.#send(lines));
    return this.#sending;
  }
}
