/**
 * One call that the host opened, as a handler sees it: parameters still unchecked, records in,
 * records out, and a signal that aborts when the host cancels (then its reason is a `StreamReset`)
 * or the link dies. Which of the two it was matters to those who go on without a host.
 */
import { KIND, RecordReader, RecordWriter } from "../src/protocol/calls.ts";
import type { Shape } from "../src/protocol/shape.ts";
import { RumError } from "../src/base/errors.ts";
import type { Duplex } from "../src/wire/duplex.ts";

export interface SessionState {
  /** Set once hello proved the token on this link. */
  authenticated: boolean;
}

export class Call {
  readonly method: string;
  readonly session: SessionState;
  readonly records: RecordReader;
  readonly #writer: RecordWriter;
  readonly #stream: Duplex;
  readonly #gone = new AbortController();
  #params: unknown;
  #final = false;
  #raw = false;

  constructor(method: string, params: unknown, stream: Duplex, session: SessionState) {
    this.method = method;
    this.#params = params;
    this.session = session;
    this.#stream = stream;
    this.records = new RecordReader(stream.readable);
    this.#writer = new RecordWriter(stream.writable);
    this.#writer.closed.catch((reason) => {
      if (!this.#raw) this.#gone.abort(reason);
    });
    // A raw stream may have ended its own half long before: the writer tells nothing any more.
    stream.onFailed = (reason) => {
      if (this.#raw) this.#gone.abort(reason);
    };
  }

  /** Aborts when the host cancels or the link ends. */
  get signal(): AbortSignal {
    return this.#gone.signal;
  }

  /** @throws {ShapeError} when the parameters do not fit */
  params<T>(shape: Shape<T>): T {
    return shape(this.#params, "");
  }

  setParams(params: unknown): void {
    this.#params = params;
  }

  event(value: unknown): Promise<void> {
    return this.#writer.json(KIND.event, value);
  }

  bytes(kind: typeof KIND.out | typeof KIND.err | typeof KIND.data, bytes: Uint8Array) {
    return this.#writer.bytes(kind, bytes);
  }

  zeros(count: number): Promise<void> {
    return this.#writer.zeros(count);
  }

  /** The final answer, then our end of the stream. Only the first counts. */
  async finish(result: unknown): Promise<void> {
    if (this.#final) return;
    this.#final = true;
    await this.#writer.json(KIND.final, { ok: result ?? {} });
    await this.#writer.close();
    this.records.discard();
  }

  async fail(error: RumError): Promise<void> {
    if (this.#final) return;
    this.#final = true;
    await this.#writer.json(KIND.final, {
      error: { code: error.code, message: error.message, hint: error.hint, data: error.data },
    });
    await this.#writer.close();
    this.records.discard();
  }

  /** Answers ok, and from here on the stream carries plain bytes both ways. */
  async switchToRaw(result: unknown): Promise<
    { readable: ReadableStream<Uint8Array>; writer: WritableStreamDefaultWriter<Uint8Array> }
  > {
    this.#final = true;
    await this.#writer.json(KIND.final, { ok: result ?? {} });
    // Releasing the lock rejects the old writer's `closed`, which here means nothing.
    this.#raw = true;
    this.#writer.release();
    const writer = this.#stream.writable.getWriter();
    writer.closed.catch((reason) => this.#gone.abort(reason));
    return { readable: this.records.raw(), writer };
  }

  get answered(): boolean {
    return this.#final;
  }

  reset(reason: unknown): void {
    this.#stream.abort(reason);
  }
}
