/**
 * The host's end of one call to the agent. Everything that arrives is checked before it is believed:
 * a record over its limit, JSON that nests or fits no shape, an end without a final answer are all
 * `agent_lied`; a link that dies is `agent_restarted`; the agent's own errors keep their code where
 * it is one of ours and have their text made printable. Whatever happens, the stream is released.
 */
import { type ErrorCode, isErrorCode, RumError } from "../base/errors.ts";
import { printableLine } from "../base/printable.ts";
import { callError } from "../protocol/agent.ts";
import {
  type CallRecord,
  KIND,
  MAX_HEADER,
  RecordReader,
  RecordWriter,
} from "../protocol/calls.ts";
import { anything, object, optional, type Shape, ShapeError } from "../protocol/shape.ts";
import type { Duplex } from "../wire/duplex.ts";
import { parseJson } from "../wire/json.ts";
import { StreamReset } from "../wire/mux_stream.ts";
import type { Mux } from "../wire/mux_types.ts";

const finalShape = object({ ok: optional(anything()), error: optional(callError) });

export interface CallOptions {
  readonly signal?: AbortSignal;
}

export class AgentCall implements AsyncDisposable {
  readonly method: string;
  readonly #stream: Duplex;
  readonly #reader: RecordReader;
  readonly #writer: RecordWriter;
  readonly #signal: AbortSignal | undefined;
  readonly #onAbort: () => void;
  #state: "open" | "answered" | "raw" | "released" = "open";
  #writing = 0;
  #cut = false;

  private constructor(method: string, stream: Duplex, signal: AbortSignal | undefined) {
    this.method = method;
    this.#stream = stream;
    this.#reader = new RecordReader(stream.readable);
    this.#writer = new RecordWriter(stream.writable);
    this.#signal = signal;
    this.#onAbort = () => stream.abort(signal?.reason);
    signal?.addEventListener("abort", this.#onAbort, { once: true });
  }

  static async open(
    mux: Mux,
    method: string,
    params: unknown,
    options: CallOptions = {},
  ): Promise<AgentCall> {
    options.signal?.throwIfAborted();
    const bytes = new TextEncoder();
    let header = bytes.encode(JSON.stringify({ m: method, p: params }));
    const large = header.length > MAX_HEADER;
    if (large) header = bytes.encode(JSON.stringify({ m: method, more: true }));
    let stream: Duplex;
    try {
      stream = await mux.open(header);
    } catch (cause) {
      throw unavailable(method, cause);
    }
    const call = new AgentCall(method, stream, options.signal);
    if (large) await call.send(KIND.params, params);
    return call;
  }

  /** @throws {RumError} as `next` does */
  async send(kind: typeof KIND.params | typeof KIND.end, value: unknown): Promise<void> {
    await this.#sending(() => this.#writer.json(kind, value));
  }

  /** Resolves when the stream took the bytes: the agent's pace. */
  async data(bytes: Uint8Array): Promise<void> {
    this.#writing++;
    await this.#sending(() => this.#writer.bytes(KIND.data, bytes));
    this.#writing--;
  }

  async zeros(count: number): Promise<void> {
    await this.#sending(() => this.#writer.zeros(count));
  }

  /** The agent takes nothing more: why is in its answer, or in how waiting for that fails. */
  get cut(): boolean {
    return this.#cut;
  }

  /**
   * The next record; `final` with the checked answer at the end.
   *
   * @throws {RumError} the agent's error, `agent_lied`, `agent_restarted`, or the signal's reason
   */
  async next<T>(
    result: Shape<T>,
  ): Promise<{ kind: "record"; record: CallRecord } | { kind: "final"; value: T }> {
    const record = await this.#guarded(() => this.#reader.next());
    if (record === undefined) throw this.lied("ended the call without an answer");
    if (record.kind !== KIND.final) return { kind: "record", record };
    const { error, ok } = this.read(record, finalShape);
    if (error !== undefined) {
      this.#state = "answered";
      throw agentError(this.method, error);
    }
    const value = this.#shaped(ok, result);
    this.#state = "answered";
    return { kind: "final", value };
  }

  /** Waits for the final answer of a call that has nothing else to say. */
  async result<T>(shape: Shape<T>): Promise<T> {
    const found = await this.next(shape);
    if (found.kind === "final") return found.value;
    throw this.lied(`sent a record of kind ${found.record.kind} before its answer`);
  }

  /** A record's JSON, checked. */
  read<T>(record: CallRecord, shape: Shape<T>): T {
    let value: unknown;
    try {
      value = parseJson(record.payload, `An answer to ${this.method}`);
    } catch (cause) {
      throw this.lied("sent an answer that cannot be read", cause);
    }
    return this.#shaped(value, shape);
  }

  /** After the final answer of a raw method: the stream itself. */
  raw(): Duplex {
    this.#state = "raw";
    this.#signal?.removeEventListener("abort", this.#onAbort);
    this.#writer.release();
    return {
      readable: this.#reader.raw(),
      writable: this.#stream.writable,
      abort: (reason) => this.#stream.abort(reason),
    };
  }

  lied(what: string, cause?: unknown): RumError {
    const because = cause instanceof Error ? `: ${printableLine(cause.message, 500)}` : "";
    return new RumError("agent_lied", `The guest agent ${what} (${this.method})${because}`, {
      cause,
      hint: "rum restart",
    });
  }

  /** Idempotent: gives the stream back, politely after an answer, by a reset otherwise. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#state === "raw" || this.#state === "released") return;
    this.#signal?.removeEventListener("abort", this.#onAbort);
    const polite = this.#state === "answered" && this.#writing === 0;
    this.#state = "released";
    if (!polite) return this.#stream.abort(new Error("the host called it off"));
    this.#writer.close().catch(() => {});
    await this.#reader.cancel();
  }

  #shaped<T>(value: unknown, shape: Shape<T>): T {
    try {
      return shape(value, "");
    } catch (cause) {
      throw this.lied("sent an answer that does not fit", cause);
    }
  }

  async #sending(work: () => Promise<void>): Promise<void> {
    try {
      await this.#guarded(work);
    } catch (thrown) {
      this.#cut = true;
      throw thrown;
    }
  }

  async #guarded<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (cause) {
      throw this.#explain(cause);
    }
  }

  #explain(cause: unknown): unknown {
    if (this.#signal?.aborted) return this.#signal.reason;
    if (cause instanceof StreamReset) {
      return new RumError(
        "agent_error",
        `The guest agent broke off the call (${this.method}): ${printableLine(cause.message, 300)}`,
        { cause },
      );
    }
    const framing = cause instanceof RumError &&
      (cause.code === "protocol_error" || cause.code === "too_large") &&
      // A session that ended over a protocol error is the link's end, not this call's answer.
      !cause.message.startsWith("The link to");
    if (framing || cause instanceof ShapeError) return this.lied("broke the call's framing", cause);
    return new RumError(
      "agent_restarted",
      `The guest agent went away while ${this.method} was under way`,
      { cause },
    );
  }
}

function unavailable(method: string, cause: unknown): RumError {
  return new RumError("agent_unavailable", `Cannot ask the guest agent for ${method}: no link`, {
    cause,
    hint: "rum status",
  });
}

interface CallFailure {
  readonly code: string;
  readonly message: string;
  readonly hint?: string;
  readonly data?: unknown;
}

/** Codes that would say something of the host stay the host's own. */
const NOT_THE_GUESTS: ReadonlySet<ErrorCode> = new Set(["internal", "interrupted", "cancelled"]);

function agentError(method: string, error: CallFailure): RumError {
  const code = isErrorCode(error.code) && !NOT_THE_GUESTS.has(error.code)
    ? error.code
    : "agent_error";
  const data = typeof error.data === "object" && error.data !== null && !Array.isArray(error.data)
    ? Object.fromEntries(Object.entries(error.data).slice(0, 32))
    : undefined;
  return new RumError(
    code,
    printableLine(error.message, 4096) || `The guest agent failed at ${method}`,
    { hint: error.hint === undefined ? undefined : printableLine(error.hint, 500), data },
  );
}
