/**
 * One session: the streams between this side and one life of the peer. It decides what goes into
 * the next carrier write, and what a received frame means. It knows neither carrier nor SYNC; the
 * engine in `mux.ts` attaches it once the peer is known and ends it when that peer is gone.
 *
 * Scheduling: what is not data (opens, credits, resets, pongs) always goes first, it is small and
 * others wait for it. Then one data frame of one stream, then the next stream. So a bulk stream
 * delays a keystroke by a frame, and a stream without credit is not in the round at all.
 *
 * A peer that breaks a rule that no honest peer breaks (overrun credit, opens out of order, floods)
 * ends the session; one that merely asks for too much gets its stream refused.
 */
import { type ErrorCode, RumError } from "../base/errors.ts";
import { ReceiveWindow, WindowBudget } from "./credit.ts";
import type { Duplex } from "./duplex.ts";
import {
  cutBeforeMagic,
  FRAME_OVERHEAD,
  type FrameHeader,
  KIND,
  MAX_OPEN_HEADER,
  MAX_RESET_TEXT,
  type MuxRole,
  putHeader,
  RESET_RECEIVING,
  RESET_SENDING,
} from "./mux_frame.ts";
import { MuxStream, type StreamHost } from "./mux_stream.ts";
import type { IncomingStream, Mux } from "./mux_types.ts";

export interface MuxLimits {
  /** Live streams, opened by either side. */
  readonly maxStreams: number;
  /** Streams opened by the peer that nobody accepted yet. */
  readonly maxBacklog: number;
  /** Bytes a new stream may receive unread. */
  readonly initialWindow: number;
  readonly maxWindow: number;
  /** What all windows together may grow beyond their initial size. */
  readonly windowBudget: number;
  /** Payload of one data frame. */
  readonly frameBytes: number;
  /** How many bytes one carrier write gathers before it is sent off. */
  readonly batchBytes: number;
}

export const DEFAULT_LIMITS: MuxLimits = {
  maxStreams: 2048,
  maxBacklog: 256,
  initialWindow: 64 * 1024,
  maxWindow: 1024 * 1024,
  windowBudget: 64 * 1024 * 1024,
  frameBytes: 32 * 1024,
  batchBytes: 64 * 1024,
};

/** Refusals of the peer's streams that may wait to be sent; honest peers cause a handful. */
const MAX_REFUSALS = 1024;
const MAX_CREDIT = 2 ** 31;

interface Ping {
  readonly serial: number;
  readonly sentAt: number;
  readonly done: PromiseWithResolvers<number>;
}

export interface SessionOptions {
  readonly role: MuxRole;
  readonly limits: MuxLimits;
  /** There is something to send. */
  readonly wake: () => void;
  /** Somebody ended this session: `close()`, or a broken rule. */
  readonly onEnded: (session: MuxSession) => void;
}

export class MuxSession implements Mux, StreamHost {
  readonly closed: Promise<Error>;
  readonly incoming: AsyncIterable<IncomingStream>;
  readonly #role: MuxRole;
  readonly #limits: MuxLimits;
  readonly #options: SessionOptions;
  readonly #budget: WindowBudget;
  readonly #closed = Promise.withResolvers<Error>();
  #ended: Error | undefined;
  #tag: number | undefined;
  #peerWindow = 0;

  readonly #streams = new Map<number, MuxStream>();
  #nextId: number;
  #highestPeerId = 0;
  readonly #controlReady = new Set<MuxStream>();
  readonly #dataReady = new Set<MuxStream>();
  readonly #refusals: { id: number; text: string }[] = [];

  #backlog: IncomingStream[] = [];
  #accept: PromiseWithResolvers<void> | undefined;

  #pingSerial = 0;
  #pings: Ping[] = [];
  #pingToSend: number | undefined;
  #pongToSend: number | undefined;

  constructor(options: SessionOptions) {
    this.#options = options;
    this.#role = options.role;
    this.#limits = options.limits;
    this.#budget = new WindowBudget(options.limits.windowBudget);
    this.#nextId = options.role === "host" ? 1 : 2;
    this.closed = this.#closed.promise;
    this.incoming = { [Symbol.asyncIterator]: () => this.#accepted() };
  }

  /** Undefined until the peer is known. */
  get tag(): number | undefined {
    return this.#tag;
  }

  get ended(): Error | undefined {
    return this.#ended;
  }

  /** Live streams, for leak tests and status. */
  get streamCount(): number {
    return this.#streams.size;
  }

  attach(tag: number, peerWindow: number): void {
    this.#tag = tag;
    this.#peerWindow = peerWindow;
    for (const stream of this.#streams.values()) stream.setInitialCredit(peerWindow);
    this.#options.wake();
  }

  // deno-lint-ignore require-await -- a promise by contract: an open may have to wait one day
  async open(header: Uint8Array): Promise<Duplex> {
    if (this.#ended !== undefined) throw this.#ended;
    if (header.length > MAX_OPEN_HEADER) {
      throw new RumError(
        "too_large",
        `Opening a stream to the other end of the guest link: header of ${header.length} bytes, wanted ≤ ${MAX_OPEN_HEADER}`,
      );
    }
    if (this.#streams.size >= this.#limits.maxStreams) {
      throw new RumError(
        "busy",
        `Opening a stream to the other end of the guest link: ${this.#streams.size} are open, which is the limit`,
      );
    }
    const id = this.#nextId;
    if (id > 0xffffffff) {
      throw new RumError("protocol_error", "The guest link has used up its stream numbers");
    }
    this.#nextId += 2;
    const stream = this.#makeStream(id, header.slice());
    this.wantControl(stream);
    return stream.duplex;
  }

  ping(options: { signal?: AbortSignal } = {}): Promise<number> {
    const { signal } = options;
    if (this.#ended !== undefined) return Promise.reject(this.#ended);
    if (signal?.aborted) return Promise.reject(signal.reason);
    const done = Promise.withResolvers<number>();
    const serial = ++this.#pingSerial >>> 0;
    const ping: Ping = { serial, sentAt: performance.now(), done };
    this.#pings.push(ping);
    this.#pingToSend = serial;
    this.#options.wake();
    if (signal === undefined) return done.promise;
    const onAbort = () => {
      this.#pings = this.#pings.filter((p) => p !== ping);
      done.reject(signal.reason);
    };
    signal.addEventListener("abort", onAbort, { once: true });
    return done.promise.finally(() => signal.removeEventListener("abort", onAbort));
  }

  close(reason: Error = new RumError("cancelled", "The guest link was closed on this side")): void {
    if (this.#ended !== undefined) return;
    this.#ended = reason;
    for (const stream of [...this.#streams.values()]) stream.fail(reason);
    this.#streams.clear();
    this.#controlReady.clear();
    this.#dataReady.clear();
    this.#refusals.length = 0;
    this.#backlog = [];
    for (const ping of this.#pings) ping.done.reject(reason);
    this.#pings = [];
    this.#accept?.resolve();
    this.#closed.resolve(reason);
    this.#options.onEnded(this);
  }

  // What the streams say.

  wantControl(stream: MuxStream): void {
    if (this.#ended !== undefined) return;
    this.#controlReady.add(stream);
    this.#options.wake();
  }

  wantData(stream: MuxStream): void {
    if (this.#ended !== undefined) return;
    this.#dataReady.add(stream);
    this.#options.wake();
  }

  mayBeOver(stream: MuxStream): void {
    if (!stream.over) return;
    this.#streams.delete(stream.id);
    this.#controlReady.delete(stream);
    this.#dataReady.delete(stream);
  }

  // Sending.

  /** Encodes what is to be sent into `to` from `at`, about one batch; returns where it ends. */
  fill(to: Uint8Array, at: number): number {
    if (this.#tag === undefined || this.#ended !== undefined) return at;
    const tag = this.#tag;
    const limit = this.#limits.batchBytes;
    const put = (kind: number, flags: number, stream: number, value: number) => {
      at = putHeader(to, at, { kind, flags, tag, stream, value });
    };
    const putBytes = (kind: number, flags: number, stream: number, bytes: Uint8Array) => {
      put(kind, flags, stream, bytes.length);
      to.set(bytes, at);
      at += bytes.length;
      to[at++] = 0;
    };
    if (this.#pongToSend !== undefined) put(KIND.pong, 0, 0, this.#pongToSend);
    this.#pongToSend = undefined;
    if (this.#pingToSend !== undefined) put(KIND.ping, 0, 0, this.#pingToSend);
    this.#pingToSend = undefined;
    while (this.#refusals.length > 0 && at < limit) {
      const { id, text } = this.#refusals.shift()!;
      putBytes(KIND.reset, RESET_SENDING | RESET_RECEIVING, id, resetText(text));
    }
    for (const stream of this.#controlReady) {
      if (at >= limit) return at;
      this.#controlReady.delete(stream);
      if (stream.openHeader !== undefined) {
        putBytes(KIND.open, 0, stream.id, stream.openHeader);
        stream.openHeader = undefined;
      }
      const credit = stream.takeCredit();
      if (credit > 0) put(KIND.credit, 0, stream.id, credit);
      if (stream.resetFlags !== 0) {
        putBytes(KIND.reset, stream.resetFlags, stream.id, resetText(stream.resetText));
        stream.resetFlags = 0;
        this.mayBeOver(stream);
      }
    }
    for (const stream of this.#dataReady) {
      if (at >= limit) return at;
      this.#dataReady.delete(stream);
      let bytes = stream.peek(this.#limits.frameBytes);
      if (bytes !== undefined && bytes.length > 0) {
        bytes = bytes.subarray(0, cutBeforeMagic(bytes));
        putBytes(KIND.data, 0, stream.id, bytes);
        stream.took(bytes.length);
      }
      if (stream.takeEnd()) {
        put(KIND.end, 0, stream.id, 0);
        this.mayBeOver(stream);
      }
      // Back to the end of the round, and met again in this batch if there is room.
      if (stream.sendable) this.#dataReady.add(stream);
    }
    return at;
  }

  // Receiving.

  frame(header: FrameHeader, payload: Uint8Array): void {
    // An old session's frame, sent before the peer knew: ours was replaced meanwhile.
    if (header.tag !== this.#tag || this.#ended !== undefined) return;
    const { kind, stream: id, value } = header;
    if (kind === KIND.ping) {
      this.#pongToSend = value;
      return this.#options.wake();
    }
    if (kind === KIND.pong) return this.#receivePong(value);
    if (kind === KIND.open) return this.#receiveOpen(id, payload);
    const stream = this.#streams.get(id);
    if (stream === undefined) {
      const known = this.#isPeerId(id) ? id <= this.#highestPeerId : id < this.#nextId;
      // Late news of a stream that is over on this side.
      if (!known) this.#broken(`a frame for stream ${id}, which was never opened`);
      return;
    }
    switch (kind) {
      case KIND.data:
        if (!stream.receive(payload)) {
          this.#broken(`more bytes on stream ${id} than it had credit for`);
        }
        return;
      case KIND.end:
        return stream.receiveEnd();
      case KIND.credit:
        if (value > MAX_CREDIT) return this.#broken(`a credit of ${value} bytes`);
        return stream.receiveCredit(value);
      case KIND.reset:
        return stream.receiveReset(header.flags, new TextDecoder().decode(payload));
      default:
        return this.#broken(`a frame of unknown kind ${kind}`);
    }
  }

  #receiveOpen(id: number, header: Uint8Array): void {
    if (!this.#isPeerId(id) || id <= this.#highestPeerId) {
      return this.#broken(`an open of stream ${id} after ${this.#highestPeerId}`);
    }
    if (header.length > MAX_OPEN_HEADER) {
      return this.#broken(`an open with a header of ${header.length} bytes`);
    }
    this.#highestPeerId = id;
    if (
      this.#streams.size >= this.#limits.maxStreams ||
      this.#backlog.length >= this.#limits.maxBacklog
    ) {
      if (this.#refusals.length >= MAX_REFUSALS) {
        return this.#broken("opens far beyond the limit, without reading the refusals");
      }
      this.#refusals.push({ id, text: "too many streams" });
      return this.#options.wake();
    }
    const stream = this.#makeStream(id);
    this.#backlog.push({ header: header.slice(), stream: stream.duplex });
    this.#accept?.resolve();
  }

  #receivePong(serial: number): void {
    const now = performance.now();
    this.#pings = this.#pings.filter((ping) => {
      if (ping.serial > serial) return true;
      ping.done.resolve(now - ping.sentAt);
      return false;
    });
  }

  async *#accepted(): AsyncGenerator<IncomingStream> {
    for (;;) {
      const next = this.#backlog.shift();
      if (next !== undefined) yield next;
      else if (this.#ended !== undefined) return;
      else {
        this.#accept ??= Promise.withResolvers<void>();
        await this.#accept.promise;
        this.#accept = undefined;
      }
    }
  }

  #makeStream(id: number, openHeader?: Uint8Array): MuxStream {
    const { initialWindow, maxWindow } = this.#limits;
    const stream = new MuxStream(id, {
      host: this,
      window: new ReceiveWindow(initialWindow, maxWindow, this.#budget),
      sendCredit: this.#peerWindow,
      openHeader,
    });
    this.#streams.set(id, stream);
    return stream;
  }

  #isPeerId(id: number): boolean {
    return id > 0 && (id % 2 === 1) === (this.#role === "guest");
  }

  #broken(what: string): void {
    this.close(sessionError(this.#role, "protocol_error", `sent ${what}`));
  }
}

export function sessionError(role: MuxRole, code: ErrorCode, what: string): RumError {
  const peer = role === "host" ? "guest" : "host";
  return new RumError(code, `The link to the ${peer} ended: the ${peer} ${what}`);
}

function resetText(text: string): Uint8Array {
  return new TextEncoder().encode(text).subarray(0, MAX_RESET_TEXT);
}

/** Room that `fill` needs beyond its batch: the largest frame that may follow at the limit. */
export const FILL_SLACK = 64 * 1024 + 4 * FRAME_OVERHEAD + MAX_RESET_TEXT;
