/**
 * How a call travels between host and guest: one mux stream each, so that calls never wait for one
 * another and cancelling is resetting the stream.
 *
 *   opener:   open header  {"m": method, "p": params}          (≤ 60 KiB)
 *                          {"m": method, "more": true}  then a `params` record, when p is larger
 *             then records: data, zeros, end                    (stdin, file content)
 *   answerer: records: event, out, err, data, zeros …
 *             exactly one final  {"ok": result} | {"error": {code, message, hint, data}}
 *
 * A record is `u8 kind, u32 big-endian length, payload`. JSON only for control; bulk bytes stay
 * bytes. A raw method (`dial`) switches to plain bytes after its final `ok`: from there half-close
 * and reset are the stream's own. Either side may open calls; today the guest opens none.
 *
 * Signals and terminal sizes for a running exec are calls of their own (`signal`, `resize`): behind
 * unread stdin on the same stream they would never arrive.
 */
import { RumError } from "../base/errors.ts";

export const KIND = {
  final: 1,
  event: 2,
  params: 3,
  end: 4,
  data: 5,
  out: 6,
  err: 7,
  zeros: 8,
} as const;
export type Kind = (typeof KIND)[keyof typeof KIND];

export const MAX_JSON = 1024 * 1024;
export const MAX_DATA = 64 * 1024;
/** Params up to this size ride in the open header. */
export const MAX_HEADER = 60 * 1024;
const HEAD = 5;

/** What may be in a record of each kind; anything larger is refused before a byte is kept. */
const MAX_OF: Readonly<Record<Kind, number>> = {
  [KIND.final]: MAX_JSON,
  [KIND.event]: MAX_JSON,
  [KIND.params]: MAX_JSON,
  [KIND.end]: 4096,
  [KIND.data]: MAX_DATA,
  [KIND.out]: MAX_DATA,
  [KIND.err]: MAX_DATA,
  [KIND.zeros]: 8,
};

export interface CallRecord {
  readonly kind: Kind;
  readonly payload: Uint8Array;
}

export function encodeRecord(kind: Kind, payload: Uint8Array): Uint8Array {
  if (payload.length > MAX_OF[kind]) {
    throw new RumError(
      "too_large",
      `Cannot send a record of ${payload.length} bytes: found kind ${kind}, wanted ≤ ${
        MAX_OF[kind]
      }`,
    );
  }
  const bytes = new Uint8Array(HEAD + payload.length);
  bytes[0] = kind;
  new DataView(bytes.buffer).setUint32(1, payload.length);
  bytes.set(payload, HEAD);
  return bytes;
}

const utf8 = new TextEncoder();

export function encodeJson(kind: Kind, value: unknown): Uint8Array {
  return encodeRecord(kind, utf8.encode(JSON.stringify(value)));
}

export function encodeZeros(count: number): Uint8Array {
  const payload = new Uint8Array(8);
  new DataView(payload.buffer).setBigUint64(0, BigInt(count));
  return encodeRecord(KIND.zeros, payload);
}

export function decodeZeros(payload: Uint8Array): number {
  if (payload.length !== 8) {
    throw new RumError("protocol_error", `A run of zeros has ${payload.length} bytes, wanted 8`);
  }
  const count = new DataView(payload.buffer, payload.byteOffset).getBigUint64(0);
  if (count > BigInt(Number.MAX_SAFE_INTEGER)) {
    throw new RumError("protocol_error", `A run of ${count} zeros is longer than any file`);
  }
  return Number(count);
}

/** Reads records off a byte stream. One reader per stream; it owns the stream's lock. */
export class RecordReader {
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>;
  #rest: Uint8Array = new Uint8Array(0);

  constructor(readable: ReadableStream<Uint8Array>) {
    this.#reader = readable.getReader();
  }

  /**
   * The next record; undefined once the peer half-closed between two records.
   *
   * @throws {RumError} `protocol_error` for an unknown kind or an end inside a record, `too_large`
   *   as soon as a head announces more than its kind may have
   */
  async next(): Promise<CallRecord | undefined> {
    while (this.#rest.length < HEAD) {
      const more = await this.#reader.read();
      if (more.done) {
        if (this.#rest.length === 0) return undefined;
        throw new RumError("protocol_error", "A record ended inside its head");
      }
      this.#rest = this.#rest.length === 0 ? more.value : concat(this.#rest, more.value);
    }
    const kind = this.#rest[0];
    const max = MAX_OF[kind as Kind];
    if (max === undefined) {
      throw new RumError("protocol_error", `A record has the kind ${kind}, wanted 1 to 8`);
    }
    const length = new DataView(this.#rest.buffer, this.#rest.byteOffset).getUint32(1);
    if (length > max) {
      throw new RumError(
        "too_large",
        `A record of kind ${kind} announces ${length} bytes, wanted ≤ ${max}`,
      );
    }
    if (this.#rest.length >= HEAD + length) {
      const payload = this.#rest.subarray(HEAD, HEAD + length);
      this.#rest = this.#rest.subarray(HEAD + length);
      return { kind: kind as Kind, payload };
    }
    return { kind: kind as Kind, payload: await this.#fill(length) };
  }

  async #fill(length: number): Promise<Uint8Array> {
    const payload = new Uint8Array(length);
    payload.set(this.#rest.subarray(HEAD));
    let filled = this.#rest.length - HEAD;
    this.#rest = new Uint8Array(0);
    while (filled < length) {
      const more = await this.#reader.read();
      if (more.done) throw new RumError("protocol_error", "A record ended inside its payload");
      const take = Math.min(more.value.length, length - filled);
      payload.set(more.value.subarray(0, take), filled);
      filled += take;
      this.#rest = more.value.subarray(take);
    }
    return payload;
  }

  /** Everything not read yet, as plain bytes; the reader must not be used afterwards. */
  raw(): ReadableStream<Uint8Array> {
    const reader = this.#reader;
    let first: Uint8Array | undefined = this.#rest.length > 0 ? this.#rest : undefined;
    return new ReadableStream({
      async pull(controller) {
        if (first !== undefined) {
          controller.enqueue(first);
          first = undefined;
          return;
        }
        const more = await reader.read();
        if (more.done) controller.close();
        else controller.enqueue(more.value);
      },
      cancel: (reason) => reader.cancel(reason),
    }, { highWaterMark: 0 });
  }

  /** Nobody reads any more; the peer learns it unless it has ended already. Never rejects. */
  async cancel(reason?: unknown): Promise<void> {
    await this.#reader.cancel(reason).catch(() => {});
  }

  /**
   * Reads and drops what is left, so that the peer never sees a reset after its final answer.
   * Resolves at the peer's end of the stream; never rejects.
   */
  async discard(): Promise<void> {
    this.#rest = new Uint8Array(0);
    try {
      while (!(await this.#reader.read()).done);
    } catch {
      // Reset or lost: nothing is left to read either.
    }
  }
}

/** Writes records. `write` resolves when the stream took them, so a slow reader slows its writer. */
export class RecordWriter {
  readonly #writer: WritableStreamDefaultWriter<Uint8Array>;

  constructor(writable: WritableStream<Uint8Array>) {
    this.#writer = writable.getWriter();
    this.#writer.closed.catch(() => {});
  }

  /** Rejects when the stream is reset or its carrier ends; resolves after `close`. */
  get closed(): Promise<void> {
    return this.#writer.closed;
  }

  json(kind: Kind, value: unknown): Promise<void> {
    return this.#writer.write(encodeJson(kind, value));
  }

  async bytes(kind: Kind, bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length; at += MAX_DATA) {
      await this.#writer.write(encodeRecord(kind, bytes.subarray(at, at + MAX_DATA)));
    }
  }

  zeros(count: number): Promise<void> {
    return this.#writer.write(encodeZeros(count));
  }

  close(): Promise<void> {
    return this.#writer.close();
  }

  /** From here on plain bytes, by whoever locks the stream next. */
  release(): void {
    this.#writer.releaseLock();
  }
}

function concat(a: Uint8Array, b: Uint8Array): Uint8Array {
  const both = new Uint8Array(a.length + b.length);
  both.set(a);
  both.set(b, a.length);
  return both;
}
