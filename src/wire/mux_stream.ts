/**
 * One stream of a mux session: what is to be sent, what was received, and the web streams on top.
 *
 * Sending holds at most one chunk; its `write` resolves when the last byte went into a frame, so a
 * peer that gives no credit holds back exactly this writer. Receiving holds at most the window.
 * The two directions end on their own (`end`, or a reset of that direction), and the session drops
 * the stream when both have ended and the received bytes have been read.
 */
import type { Duplex } from "./duplex.ts";
import type { ReceiveWindow } from "./credit.ts";
import { ByteQueue } from "./mux_queue.ts";
import { RESET_RECEIVING, RESET_SENDING } from "./mux_frame.ts";
import { printableLine } from "../base/printable.ts";

/** Why a stream ended early, when it was not the whole session. */
export class StreamReset extends Error {
  override readonly name = "StreamReset";
  readonly by: "peer" | "local";

  constructor(by: "peer" | "local", text: string, options: ErrorOptions = {}) {
    super(text === "" ? `The stream was reset (${by})` : text, options);
    this.by = by;
  }
}

/** What a stream tells its session. */
export interface StreamHost {
  /** There is an open, a credit or a reset to send. */
  wantControl(stream: MuxStream): void;
  /** There is data or an end to send, and credit for it. */
  wantData(stream: MuxStream): void;
  /** Something ended: look whether the stream can go. */
  mayBeOver(stream: MuxStream): void;
}

const READ_MAX = 64 * 1024;

export class MuxStream {
  readonly id: number;
  readonly duplex: Duplex;
  readonly #host: StreamHost;
  readonly #window: ReceiveWindow;

  /** Still to be announced to the peer. */
  openHeader: Uint8Array | undefined;
  creditOwed = 0;
  resetFlags = 0;
  resetText = "";

  #sendCredit: number;
  #chunk: Uint8Array | undefined;
  #written: PromiseWithResolvers<void> | undefined;
  #endWanted: PromiseWithResolvers<void> | undefined;
  #sendOver = false;

  readonly #queue = new ByteQueue();
  #wanted = false;
  #peerEnded = false;
  #receiveOver = false;

  #source!: ReadableStreamDefaultController<Uint8Array>;
  #sink!: WritableStreamDefaultController;

  constructor(
    id: number,
    options: {
      host: StreamHost;
      window: ReceiveWindow;
      sendCredit: number;
      openHeader?: Uint8Array;
    },
  ) {
    this.id = id;
    this.#host = options.host;
    this.#window = options.window;
    this.#sendCredit = options.sendCredit;
    this.openHeader = options.openHeader;
    this.duplex = {
      readable: this.#makeReadable(),
      writable: this.#makeWritable(),
      abort: (reason) => this.#reset(RESET_SENDING | RESET_RECEIVING, reason),
    };
  }

  get over(): boolean {
    return this.#sendOver && this.#receiveOver && this.resetFlags === 0 &&
      this.openHeader === undefined;
  }

  /** Data or an end could go into a frame now. */
  get sendable(): boolean {
    if (this.#sendOver) return false;
    if (this.#chunk !== undefined) return this.#sendCredit > 0;
    return this.#endWanted !== undefined;
  }

  /** A stream opened before the peer was known learns what the peer allows. */
  setInitialCredit(bytes: number): void {
    this.#sendCredit = bytes;
    if (this.sendable) this.#host.wantData(this);
  }

  /** The bytes to send next, without taking them. */
  peek(max: number): Uint8Array | undefined {
    if (this.#sendOver || this.#chunk === undefined) return undefined;
    return this.#chunk.subarray(0, Math.min(max, this.#sendCredit));
  }

  /** `bytes` of what `peek` showed went into a frame. */
  took(bytes: number): void {
    this.#sendCredit -= bytes;
    this.#chunk = this.#chunk!.subarray(bytes);
    if (this.#chunk.length > 0) return;
    this.#chunk = undefined;
    this.#written?.resolve();
    this.#written = undefined;
  }

  /** True once, when the end has to be sent now. */
  takeEnd(): boolean {
    if (this.#sendOver || this.#chunk !== undefined || this.#endWanted === undefined) return false;
    this.#sendOver = true;
    this.#endWanted.resolve();
    this.#endWanted = undefined;
    return true;
  }

  takeCredit(): number {
    const credit = this.creditOwed;
    this.creditOwed = 0;
    return credit;
  }

  /** False when the peer overran its credit. */
  receive(bytes: Uint8Array): boolean {
    if (!this.#window.accept(bytes.length)) return false;
    if (this.#peerEnded) return false;
    if (this.#receiveOver) return true;
    this.#queue.push(bytes);
    this.#deliver();
    return true;
  }

  receiveEnd(): void {
    if (this.#peerEnded || this.#receiveOver) return;
    this.#peerEnded = true;
    this.#deliver();
  }

  receiveCredit(bytes: number): void {
    this.#sendCredit += bytes;
    if (this.sendable) this.#host.wantData(this);
  }

  receiveReset(flags: number, text: string): void {
    const reason = new StreamReset("peer", printableLine(text, 200));
    if (flags & RESET_SENDING) this.#endReceiving(reason);
    if (flags & RESET_RECEIVING) this.#endSending(reason);
    this.#host.mayBeOver(this);
    this.duplex.onFailed?.(reason);
  }

  /** The session is over; nothing is sent any more. */
  fail(reason: unknown): void {
    this.openHeader = undefined;
    this.resetFlags = 0;
    this.creditOwed = 0;
    this.#endReceiving(reason);
    this.#endSending(reason);
    this.duplex.onFailed?.(reason);
  }

  #makeReadable(): ReadableStream<Uint8Array> {
    return new ReadableStream<Uint8Array>({
      start: (controller) => {
        this.#source = controller;
      },
      pull: () => {
        this.#wanted = true;
        this.#deliver();
      },
      cancel: (reason) => {
        if (this.#receiveOver) return;
        this.#reset(RESET_RECEIVING, reason);
      },
    }, { highWaterMark: 0 });
  }

  #makeWritable(): WritableStream<Uint8Array> {
    return new WritableStream<Uint8Array>({
      start: (controller) => {
        this.#sink = controller;
        // Not the sink's abort(): that one waits for a write that may never get credit.
        controller.signal.addEventListener(
          "abort",
          () => this.#reset(RESET_SENDING, controller.signal.reason),
          { once: true },
        );
      },
      write: (chunk) => {
        if (chunk.length === 0) return;
        this.#chunk = chunk;
        this.#written = Promise.withResolvers<void>();
        if (this.sendable) this.#host.wantData(this);
        return this.#written.promise;
      },
      close: () => {
        if (this.#sendOver) return;
        this.#endWanted = Promise.withResolvers<void>();
        this.#host.wantData(this);
        return this.#endWanted.promise;
      },
    }, { highWaterMark: 1 });
  }

  #deliver(): void {
    if (this.#receiveOver) return;
    if (this.#wanted) {
      const bytes = this.#queue.take(READ_MAX);
      if (bytes !== undefined) {
        this.#wanted = false;
        const credit = this.#peerEnded
          ? 0
          : this.#window.consume(bytes.length, this.#queue.size === 0);
        this.#source.enqueue(bytes);
        if (credit > 0) {
          this.creditOwed += credit;
          this.#host.wantControl(this);
        }
      }
    }
    if (this.#peerEnded && this.#queue.size === 0) {
      this.#receiveOver = true;
      this.#window.release();
      this.#source.close();
      this.#host.mayBeOver(this);
    }
  }

  #reset(directions: number, reason: unknown): void {
    let flags = 0;
    if (directions & RESET_SENDING && !this.#sendOver) flags |= RESET_SENDING;
    if (directions & RESET_RECEIVING && !this.#receiveOver) flags |= RESET_RECEIVING;
    if (flags === 0) return;
    const text = reason instanceof Error ? reason.message : String(reason ?? "");
    const error = reason instanceof Error
      ? reason
      : new StreamReset("local", text, { cause: reason });
    if (flags & RESET_SENDING) this.#endSending(error);
    if (flags & RESET_RECEIVING) {
      // Nobody hears of it when the peer has ended by itself.
      if (this.#peerEnded) flags &= ~RESET_RECEIVING;
      this.#endReceiving(error);
    }
    if (flags !== 0) {
      this.resetFlags |= flags;
      if (text !== "") this.resetText = text;
      this.#host.wantControl(this);
    }
    this.#host.mayBeOver(this);
  }

  #endReceiving(reason: unknown): void {
    if (this.#receiveOver) return;
    this.#receiveOver = true;
    this.#queue.clear();
    this.creditOwed = 0;
    this.#window.release();
    this.#source.error(reason);
  }

  #endSending(reason: unknown): void {
    if (this.#sendOver) return;
    this.#sendOver = true;
    this.#chunk = undefined;
    // In an abort the stream is errored already, and saying it again would fail the abort itself.
    if (!this.#sink.signal.aborted) this.#sink.error(reason);
    this.#written?.reject(reason);
    this.#endWanted?.reject(reason);
    this.#written = undefined;
    this.#endWanted = undefined;
  }
}
