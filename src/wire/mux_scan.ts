/**
 * Raw bytes from the carrier → SYNCs and what lies between them, and that → frames.
 *
 * `SyncScanner` looks for the magic in everything, also in the middle of a payload, because a peer
 * that died there was replaced by one that starts with a SYNC. A chunk that ends in the beginning of
 * a magic is held back until the next chunk decides; that cannot stall a frame, since every frame
 * ends in a byte that the magic does not have.
 *
 * `FrameParser` is told about lost bytes by three signs: a header that does not add up, a payload
 * over the limit, a payload without its end mark. What to do about it is the session's business.
 */
import {
  findMagic,
  type FrameHeader,
  hasPayload,
  HEADER_BYTES,
  magicTail,
  MAX_PAYLOAD,
  readHeader,
  readSyncBody,
  type Sync,
  SYNC_BODY_BYTES,
  SYNC_BYTES,
  SYNC_MAGIC,
} from "./mux_frame.ts";

export interface ScanSink {
  /** Bytes between SYNCs, in order. The view stays valid. */
  bytes(span: Uint8Array): void;
  sync(sync: Sync): void;
}

export class SyncScanner {
  readonly #sink: ScanSink;
  /** Beginning of a magic, or a SYNC whose body is not complete yet. */
  #held: Uint8Array = new Uint8Array(0);

  constructor(sink: ScanSink) {
    this.#sink = sink;
  }

  push(chunk: Uint8Array): void {
    let bytes = chunk;
    if (this.#held.length > 0) {
      bytes = new Uint8Array(this.#held.length + chunk.length);
      bytes.set(this.#held);
      bytes.set(chunk, this.#held.length);
      this.#held = new Uint8Array(0);
    }
    let from = 0;
    for (;;) {
      const at = findMagic(bytes, from);
      if (at < 0) break;
      if (at > from) this.#sink.bytes(bytes.subarray(from, at));
      if (bytes.length - at < SYNC_BYTES) {
        this.#held = bytes.slice(at);
        return;
      }
      const sync = readSyncBody(bytes, at + SYNC_MAGIC.length);
      if (sync === undefined) {
        // A SYNC cut short by the death of its sender: the next one may start in its body.
        from = at + SYNC_MAGIC.length;
        continue;
      }
      this.#sink.sync(sync);
      from = at + SYNC_MAGIC.length + SYNC_BODY_BYTES;
    }
    const rest = from === 0 ? bytes : bytes.subarray(from);
    const tail = magicTail(rest);
    if (rest.length > tail) this.#sink.bytes(rest.subarray(0, rest.length - tail));
    if (tail > 0) this.#held = rest.slice(rest.length - tail);
  }
}

export interface FrameSink {
  /** The payload is a view into the carrier's chunk, or a buffer of its own; it stays valid. */
  frame(header: FrameHeader, payload: Uint8Array): void;
}

const NOTHING = new Uint8Array(0);

export class FrameParser {
  readonly #sink: FrameSink;
  readonly #head = new Uint8Array(HEADER_BYTES);
  #headFill = 0;
  #header: FrameHeader | undefined;
  /** Payload and end mark of a frame that spans chunks. */
  #body: Uint8Array = NOTHING;
  #bodyFill = 0;

  constructor(sink: FrameSink) {
    this.#sink = sink;
  }

  /** True while a frame has begun and not ended. */
  get midFrame(): boolean {
    return this.#headFill > 0 || this.#header !== undefined;
  }

  reset(): void {
    this.#headFill = 0;
    this.#header = undefined;
    this.#body = NOTHING;
    this.#bodyFill = 0;
  }

  /** Returns what is wrong with the bytes, or undefined. After a fault nothing more is parsed. */
  push(span: Uint8Array): string | undefined {
    let at = 0;
    while (at < span.length) {
      if (this.#header === undefined) {
        let header: FrameHeader | undefined;
        if (this.#headFill === 0 && span.length - at >= HEADER_BYTES) {
          header = readHeader(span, at);
          at += HEADER_BYTES;
        } else {
          const take = Math.min(HEADER_BYTES - this.#headFill, span.length - at);
          this.#head.set(span.subarray(at, at + take), this.#headFill);
          this.#headFill += take;
          at += take;
          if (this.#headFill < HEADER_BYTES) return undefined;
          this.#headFill = 0;
          header = readHeader(this.#head, 0);
        }
        if (header === undefined) return "a frame header that does not add up";
        if (!hasPayload(header.kind)) {
          this.#sink.frame(header, NOTHING);
          continue;
        }
        if (header.value > MAX_PAYLOAD) {
          return `a frame of ${header.value} bytes, over the limit of ${MAX_PAYLOAD}`;
        }
        this.#header = header;
        this.#bodyFill = 0;
        this.#body = NOTHING;
      }
      const wanted = this.#header.value + 1;
      if (this.#bodyFill === 0 && span.length - at >= wanted) {
        const header = this.#header;
        this.#header = undefined;
        if (span[at + header.value] !== 0) return "a frame without its end mark";
        this.#sink.frame(header, span.subarray(at, at + header.value));
        at += wanted;
        continue;
      }
      if (this.#bodyFill === 0) this.#body = new Uint8Array(wanted);
      const take = Math.min(wanted - this.#bodyFill, span.length - at);
      this.#body.set(span.subarray(at, at + take), this.#bodyFill);
      this.#bodyFill += take;
      at += take;
      if (this.#bodyFill < wanted) return undefined;
      const header = this.#header;
      const body = this.#body;
      this.reset();
      if (body[header.value] !== 0) return "a frame without its end mark";
      this.#sink.frame(header, body.subarray(0, header.value));
    }
    return undefined;
  }
}
