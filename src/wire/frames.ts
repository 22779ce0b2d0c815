/**
 * Frames: a 4-byte big-endian length, then that many bytes of UTF-8 JSON (SPEC section 6).
 *
 * What a stranger may cost us is decided here: the length is looked at before anything is kept,
 * memory grows only with bytes that arrived (a frame that announces 16 MiB and sends ten bytes
 * costs ten), nesting is scanned before parsing, and text that is not UTF-8 is refused instead of
 * patched up. A reader that threw is of no further use: the place in the byte stream is lost.
 */
import { RumError } from "../base/errors.ts";
import { nestsDeeperThan } from "./depth.ts";

export const FRAME = {
  /** Nothing larger ever goes over the wire. */
  maxBytes: 16 * 1024 * 1024,
  maxDepth: 64,
  headBytes: 4,
} as const;

const encoder = new TextEncoder();
const FIRST_ROOM = 64 * 1024;

/** @throws {RumError} `too_large` */
export function encodeFrame(value: unknown, maxBytes: number = FRAME.maxBytes): Uint8Array {
  const body = encoder.encode(JSON.stringify(value));
  if (body.length > maxBytes) {
    throw new RumError(
      "too_large",
      `Cannot send a frame of ${body.length} bytes: wanted at most ${maxBytes}`,
    );
  }
  const frame = new Uint8Array(FRAME.headBytes + body.length);
  new DataView(frame.buffer).setUint32(0, body.length);
  frame.set(body, FRAME.headBytes);
  return frame;
}

/** @throws {RumError} `protocol_error` for bytes that are not UTF-8 JSON of sane depth */
export function decodeBody(body: Uint8Array): unknown {
  if (nestsDeeperThan(body, FRAME.maxDepth)) {
    throw new RumError(
      "protocol_error",
      `A frame nests deeper than ${FRAME.maxDepth} levels`,
    );
  }
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(body);
  } catch (cause) {
    throw new RumError("protocol_error", "A frame is not UTF-8", { cause });
  }
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new RumError("protocol_error", "A frame is not JSON", { cause });
  }
}

/** Reads frames off a byte stream; owns the stream's lock until `release`. */
export class FrameReader {
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>;
  /** Arrived and not used yet: at most one chunk, because a frame takes what it needs. */
  #rest: Uint8Array = new Uint8Array(0);
  /** Set by the owner as the conversation goes on: small before hello, larger after. */
  maxBytes: number;

  constructor(readable: ReadableStream<Uint8Array>, options: { maxBytes?: number } = {}) {
    this.#reader = readable.getReader();
    this.maxBytes = options.maxBytes ?? FRAME.maxBytes;
  }

  /** The next byte without taking it; undefined at the end. It decides which protocol is spoken. */
  async peek(): Promise<number | undefined> {
    return await this.#some() ? this.#rest[0] : undefined;
  }

  /**
   * The next frame's value; undefined when the peer closed between two frames.
   *
   * @throws {RumError} `too_large` as soon as a head announces more than `maxBytes`,
   *   `protocol_error` for an end inside a frame or a body that is not JSON
   */
  async next(): Promise<{ value: unknown; bytes: number } | undefined> {
    if (!await this.#some()) return undefined;
    const head = await this.#take(FRAME.headBytes);
    const length = new DataView(head.buffer, head.byteOffset).getUint32(0);
    if (length > this.maxBytes) {
      throw new RumError(
        "too_large",
        `A frame announces ${length} bytes: wanted at most ${this.maxBytes}`,
      );
    }
    return { value: decodeBody(await this.#take(length)), bytes: length };
  }

  /**
   * A line without its line feed, for the line protocol; undefined at the end of the stream.
   *
   * @throws {RumError} `too_large` when `max` bytes hold no line feed
   */
  async line(max: number): Promise<string | undefined> {
    let bytes: Uint8Array = new Uint8Array(0);
    while (await this.#some()) {
      const end = this.#rest.indexOf(0x0a);
      const part = end === -1 ? this.#rest : this.#rest.subarray(0, end);
      if (bytes.length + part.length > max) {
        throw new RumError("too_large", `A line is longer than ${max} bytes`);
      }
      bytes = concat(bytes, part);
      this.#rest = end === -1 ? new Uint8Array(0) : this.#rest.subarray(end + 1);
      if (end !== -1) return new TextDecoder().decode(bytes).replace(/\r$/, "");
    }
    return bytes.length === 0 ? undefined : new TextDecoder().decode(bytes);
  }

  /** Tells the sender that nobody reads any more. Never rejects. */
  async cancel(): Promise<void> {
    await this.#reader.cancel().catch(() => {});
  }

  /** True when at least one byte is at hand; false at the end of the stream. */
  async #some(): Promise<boolean> {
    while (this.#rest.length === 0) {
      const more = await this.#reader.read();
      if (more.done) return false;
      this.#rest = more.value;
    }
    return true;
  }

  async #take(length: number): Promise<Uint8Array> {
    // Grows with what arrives, by doubling: neither the announced length nor a sender of single
    // bytes decides how much is held.
    let bytes = new Uint8Array(Math.min(length, FIRST_ROOM));
    let have = 0;
    while (have < length) {
      if (!await this.#some()) {
        throw new RumError(
          "protocol_error",
          `The stream ended inside a frame: ${have} of ${length} bytes came`,
          { data: { cut: true } },
        );
      }
      const part = this.#rest.subarray(0, length - have);
      if (have + part.length > bytes.length) {
        const larger = new Uint8Array(Math.min(length, Math.max(have + part.length, 2 * have)));
        larger.set(bytes.subarray(0, have));
        bytes = larger;
      }
      bytes.set(part, have);
      this.#rest = this.#rest.subarray(part.length);
      have += part.length;
    }
    return bytes;
  }
}

/**
 * Writes frames. `send` resolves once the stream took the frame, so a peer that does not read slows
 * exactly those who send to it. Frames never interleave.
 */
export class FrameWriter {
  readonly #writer: WritableStreamDefaultWriter<Uint8Array>;

  constructor(writable: WritableStream<Uint8Array>) {
    this.#writer = writable.getWriter();
    // Whoever sends learns of the failure by `send`; an idle writer need not crash the process.
    this.#writer.closed.catch(() => {});
    this.#writer.ready.catch(() => {});
  }

  /** @throws {RumError} `too_large`; or whatever ended the stream */
  async send(value: unknown, maxBytes?: number): Promise<void> {
    await this.#writer.write(encodeFrame(value, maxBytes));
  }

  async sendBytes(bytes: Uint8Array): Promise<void> {
    await this.#writer.write(bytes);
  }

  /** Half-close after what was sent. Never rejects. */
  async close(): Promise<void> {
    await this.#writer.close().catch(() => {});
  }
}

function concat(a: Uint8Array, b: Uint8Array): Uint8Array {
  const both = new Uint8Array(a.length + b.length);
  both.set(a);
  both.set(b, a.length);
  return both;
}
