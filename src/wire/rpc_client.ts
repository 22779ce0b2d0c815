/**
 * The calling side of one connection after its hello. Every request ends: by its one terminal frame,
 * by the connection's end (all of them then, with one reason, instead of hanging), or by its own
 * deadline a little after the server's, in case the server does not keep it.
 *
 * Events are handed on one after the other and each is awaited before more is read: a consumer that
 * is slow slows the daemon's call, and no byte of exec or cp is held anywhere without a bound.
 */
import { RumError, toRumError } from "../base/errors.ts";
import { type LongTimer, longTimer } from "../base/long_timer.ts";
import type { FrameReader, FrameWriter } from "./frames.ts";
import {
  CHUNK_BYTES,
  errorFromWire,
  RPC_LIMITS,
  type RpcLimits,
  type TerminalSize,
} from "./rpc_types.ts";

export interface RequestOptions {
  /** Awaited before the next event is read. */
  readonly onEvent?: (event: unknown) => void | Promise<void>;
  /** Aborting cancels the call; what it then answers is the result of the request. */
  readonly signal?: AbortSignal;
  readonly deadlineMs?: number;
  /** Sent as the call's input, as fast as its handler takes it. */
  readonly input?: ReadableStream<Uint8Array>;
  /** Sizes of the terminal, as they change. */
  readonly resize?: AsyncIterable<TerminalSize>;
}

interface Pending {
  readonly resolve: (result: unknown) => void;
  readonly reject: (error: unknown) => void;
  readonly onEvent?: RequestOptions["onEvent"];
  readonly addCredit: (bytes: number) => void;
}

/** How long the server may be late with its answer to a cancel or a deadline. */
const LATE_MS = 8000;

export class RpcClient {
  readonly #reader: FrameReader;
  readonly #writer: FrameWriter;
  readonly #limits: RpcLimits;
  readonly #pending = new Map<number, Pending>();
  readonly #ended = Promise.withResolvers<RumError>();
  #over?: RumError;
  #nextId = 1;

  constructor(options: { reader: FrameReader; writer: FrameWriter; limits?: Partial<RpcLimits> }) {
    this.#reader = options.reader;
    this.#writer = options.writer;
    this.#limits = { ...RPC_LIMITS, ...options.limits };
    this.#reader.maxBytes = this.#limits.maxFrame;
    void this.#read();
  }

  /** Resolves with the reason when the connection is over. */
  get ended(): Promise<RumError> {
    return this.#ended.promise;
  }

  /** @throws {RumError} what the method refused with, or why the connection ended */
  async request(
    method: string,
    params: object = {},
    options: RequestOptions = {},
  ): Promise<unknown> {
    const { signal, deadlineMs } = options;
    signal?.throwIfAborted();
    if (this.#over !== undefined) throw this.#over;
    const id = this.#nextId++;
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    const finished = new AbortController();
    const window = new InputWindow(this.#limits.inputWindow);
    this.#pending.set(id, {
      resolve,
      reject,
      onEvent: options.onEvent,
      addCredit: (bytes) => window.add(bytes),
    });
    const timers: LongTimer[] = [];
    let why: unknown;
    const giveUp = (after: number, error: () => unknown) =>
      timers.push(longTimer(after, () => reject(error())));
    const onAbort = () => {
      this.#notify({ notify: "cancel", id });
      giveUp(LATE_MS, () => signal!.reason);
    };
    signal?.addEventListener("abort", onAbort, { once: true });
    if (deadlineMs !== undefined) {
      giveUp(
        deadlineMs + LATE_MS,
        () => new RumError("timeout", `${method} took longer than ${deadlineMs} ms`),
      );
    }
    try {
      const request = {
        id,
        method,
        params,
        ...(deadlineMs === undefined ? {} : { deadline_ms: Math.max(1, Math.round(deadlineMs)) }),
      };
      this.#writer.send(request, this.#limits.maxRequest).catch((thrown) => {
        // A dead connection is told by the reader, which may hold the server's last words.
        if (thrown instanceof RumError) reject(thrown);
      });
      if (options.input !== undefined) {
        void this.#sendInput(id, options.input, window, finished.signal, reject);
      }
      if (options.resize !== undefined) void this.#sendSizes(id, options.resize, finished.signal);
      return await promise;
    } catch (thrown) {
      why = thrown;
      throw thrown;
    } finally {
      this.#pending.delete(id);
      finished.abort(why);
      window.close();
      for (const timer of timers) timer.cancel();
      signal?.removeEventListener("abort", onAbort);
    }
  }

  /** Ends every request; the owner of the stream then ends that, which tells the server. */
  close(): void {
    this.#end(new RumError("cancelled", "The connection was closed on this side"));
  }

  async #read(): Promise<void> {
    try {
      for (let got = await this.#reader.next(); got; got = await this.#reader.next()) {
        await this.#take(got.value as Record<string, unknown> | null);
      }
      this.#end(gone());
    } catch (thrown) {
      // A server that was killed while it wrote broke no protocol: it is gone.
      const told = thrown instanceof RumError && thrown.data?.cut !== true;
      this.#end(told ? thrown : gone(thrown));
    }
  }

  async #take(frame: Record<string, unknown> | null): Promise<void> {
    if (typeof frame !== "object" || frame === null) {
      throw new RumError("protocol_error", "The background process sent a frame without meaning");
    }
    if (frame.id === undefined && frame.error !== undefined) throw errorFromWire(frame.error);
    const call = this.#pending.get(frame.id as number);
    if (call === undefined) return;
    if (frame.error !== undefined) call.reject(errorFromWire(frame.error));
    else if (Object.hasOwn(frame, "result")) call.resolve(frame.result);
    else if (typeof frame.credit === "number") call.addCredit(frame.credit);
    else if (Object.hasOwn(frame, "event")) {
      try {
        await call.onEvent?.(frame.event);
      } catch (thrown) {
        // The consumer failed (a closed pipe, say): its call makes no sense any more.
        call.reject(thrown);
        this.#notify({ notify: "cancel", id: frame.id });
      }
    }
  }

  #end(reason: RumError): void {
    if (this.#over !== undefined) return;
    this.#over = reason;
    for (const call of this.#pending.values()) call.reject(reason);
    this.#pending.clear();
    this.#ended.resolve(reason);
  }

  #notify(note: object): void {
    void this.#writer.send(note).catch(() => {});
  }

  async #sendInput(
    id: number,
    input: ReadableStream<Uint8Array>,
    window: InputWindow,
    finished: AbortSignal,
    reject: (error: unknown) => void,
  ): Promise<void> {
    const reader = input.getReader();
    let lost = false;
    const send = (note: object) =>
      this.#writer.send(note).catch((thrown) => {
        lost = !(thrown instanceof RumError);
        throw thrown;
      });
    // Whoever still writes learns what ended the call.
    const stop = () => void reader.cancel(finished.reason).catch(() => {});
    finished.addEventListener("abort", stop, { once: true });
    try {
      for (;;) {
        const { done, value } = await reader.read();
        if (finished.aborted) return;
        if (done) break;
        for (let at = 0; at < value.length;) {
          const size = await window.take(Math.min(value.length - at, CHUNK_BYTES));
          if (size === 0) return;
          const data = value.subarray(at, at + size).toBase64();
          await send({ notify: "input", id, data });
          at += size;
        }
      }
      await send({ notify: "input", id, end: true });
    } catch (thrown) {
      // As for the request itself: a dead connection is told by the reader, and in its words.
      if (finished.aborted || lost || this.#over !== undefined) return;
      this.#notify({ notify: "cancel", id });
      reject(toRumError(thrown));
    } finally {
      finished.removeEventListener("abort", stop);
    }
  }

  async #sendSizes(
    id: number,
    sizes: AsyncIterable<TerminalSize>,
    finished: AbortSignal,
  ): Promise<void> {
    const iterator = sizes[Symbol.asyncIterator]();
    finished.addEventListener("abort", () => void iterator.return?.(), { once: true });
    for (let next = await iterator.next(); !next.done; next = await iterator.next()) {
      if (finished.aborted) return;
      const { columns, rows } = next.value;
      this.#notify({ notify: "resize", id, columns, rows });
    }
  }
}

/** Bytes that may be sent before the server took earlier ones. */
class InputWindow {
  #left: number;
  #wake?: () => void;
  #closed = false;

  constructor(bytes: number) {
    this.#left = bytes;
  }

  add(bytes: number): void {
    this.#left += bytes;
    this.#wake?.();
  }

  /** Up to `most` bytes of room, at least one; 0 once closed. */
  async take(most: number): Promise<number> {
    while (this.#left <= 0 && !this.#closed) {
      await new Promise<void>((resolve) => this.#wake = resolve);
    }
    if (this.#closed) return 0;
    const size = Math.min(most, this.#left);
    this.#left -= size;
    return size;
  }

  close(): void {
    this.#closed = true;
    this.#wake?.();
  }
}

function gone(cause?: unknown): RumError {
  return new RumError(
    "daemon_failed",
    "The machine's background process went away in the middle of the conversation",
    { cause, hint: "rum daemon logs" },
  );
}
