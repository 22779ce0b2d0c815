/**
 * One call on the serving side, from its request to its one terminal frame.
 *
 *   running ──handler ends──────────────► terminal sent ─► over
 *   running ──deadline, cancel, release─► signal aborted; the handler has `graceMs` to end by itself
 *                                         and to say how, else the reason is the terminal
 *   running ──disconnect────────────────► signal aborted, nothing is sent any more
 *
 * Exactly one terminal whatever happens: `#settle` is the only place that sends one, and it is
 * guarded by the one flag it sets. A call that survives its client keeps its signal: there a
 * cancel or deadline ends the client's waiting, not the work.
 */
import { RumError, toRumError } from "../base/errors.ts";
import { type LongTimer, longTimer } from "../base/long_timer.ts";
import { encodeFrame, type FrameWriter } from "./frames.ts";
import { InputQueue, OfferQueue } from "./rpc_queue.ts";
import {
  type CallContext,
  type CallIo,
  type Method,
  type RpcLimits,
  type TerminalSize,
  wireError,
} from "./rpc_types.ts";

export interface ServerCallOptions {
  readonly id: number;
  readonly method: Method;
  readonly context: CallContext;
  readonly writer: FrameWriter;
  readonly limits: RpcLimits;
  /** How long a handler has to end after its signal was aborted. */
  readonly graceMs: number;
}

export class ServerCall {
  readonly #options: ServerCallOptions;
  readonly #abort = new AbortController();
  readonly #offers: OfferQueue;
  readonly #resizeListeners: ((size: TerminalSize) => void)[] = [];
  readonly #settled = Promise.withResolvers<void>();
  #seq = 0;
  #terminal = false;
  #disconnected = false;
  #creditOwed = 0;
  #creditUnderWay = false;
  #timers: LongTimer[] = [];
  readonly input: InputQueue;

  constructor(options: ServerCallOptions) {
    this.#options = options;
    this.#offers = new OfferQueue((event) => this.#sendEvent(event));
    this.input = new InputQueue({
      window: options.limits.inputWindow,
      onTaken: (bytes) => this.#giveCredit(bytes),
    });
  }

  /** Resolves when the terminal frame was taken by the connection, or nobody wants it any more. */
  get settled(): Promise<void> {
    return this.#settled.promise;
  }

  /** Runs the handler; resolves when it ended, which may be after the call was settled. */
  async run(params: unknown): Promise<void> {
    const { method, context } = this.#options;
    if (context.deadlineMs !== undefined) this.#after(context.deadlineMs, () => this.#timeout());
    try {
      const result = await method.handle(context, params, this.#io());
      await this.#settle({ result: result ?? null });
    } catch (thrown) {
      await this.#settle({ error: toRumError(thrown) });
    } finally {
      this.input.fail(new DOMException("The call is over", "AbortError"));
    }
  }

  /** Called off by the client or by the daemon's end. */
  stop(reason: RumError, options: { graceMs?: number } = {}): void {
    if (this.#terminal) return;
    if (this.#options.method.survivesDisconnect) {
      void this.#settle({ error: reason });
      return;
    }
    this.#abort.abort(reason);
    this.input.fail(reason);
    const graceMs = options.graceMs ?? this.#options.graceMs;
    this.#after(graceMs, () => void this.#settle({ error: reason }));
  }

  /** The client is gone: nothing is sent any more, and only what survives runs on. */
  disconnect(reason: RumError): void {
    this.#disconnected = true;
    this.#finish();
    if (this.#options.method.survivesDisconnect) this.input.end();
    else {
      this.#abort.abort(reason);
      this.input.fail(reason);
    }
  }

  resize(size: TerminalSize): void {
    for (const listener of this.#resizeListeners) listener(size);
  }

  #io(): CallIo {
    const mutation = this.#options.method.kind === "mutation";
    const offer = (event: unknown) => {
      if (!this.#terminal) this.#offers.add(event);
    };
    return {
      signal: this.#abort.signal,
      input: this.input,
      offer,
      // A machine's operation must not wait for somebody's terminal.
      emit: mutation ? (event) => Promise.resolve(offer(event)) : (event) => this.#sendEvent(event),
      onResize: (listener) => void this.#resizeListeners.push(listener),
    };
  }

  async #sendEvent(event: unknown): Promise<void> {
    this.#abort.signal.throwIfAborted();
    if (this.#disconnected) return;
    if (this.#terminal) throw new DOMException("The call is over", "AbortError");
    // Encoded before the number is taken: an event that is too large leaves no gap.
    const frame = encodeFrame(
      { id: this.#options.id, seq: this.#seq + 1, event },
      this.#options.limits.maxFrame,
    );
    this.#seq++;
    await this.#options.writer.sendBytes(frame);
  }

  #timeout(): void {
    const { context } = this.#options;
    this.stop(
      new RumError("timeout", `${context.method} took longer than its ${context.deadlineMs} ms`),
    );
  }

  async #settle(outcome: { result: unknown } | { error: RumError }): Promise<void> {
    if (this.#terminal) return;
    if (!this.#abort.signal.aborted) {
      // What was offered comes before the end. The wait is bounded by the deadline and by stop().
      if ("result" in outcome) await this.#offers.drained();
      if (this.#terminal) return;
    }
    this.#terminal = true;
    this.#clearTimers();
    this.#offers.clear();
    await this.#options.writer.sendBytes(this.#terminalFrame(outcome)).catch(() => {});
    this.#finish();
  }

  #terminalFrame(outcome: { result: unknown } | { error: RumError }): Uint8Array {
    const { id, limits } = this.#options;
    if ("error" in outcome) {
      const error = wireError(outcome.error);
      try {
        return encodeFrame({ id, error });
      } catch {
        // Its data is not JSON-safe: the terminal is owed all the same.
        return encodeFrame({ id, error: { ...error, data: undefined } });
      }
    }
    try {
      return encodeFrame({ id, result: outcome.result }, limits.maxFrame);
    } catch (thrown) {
      return encodeFrame({ id, error: wireError(toRumError(thrown)) });
    }
  }

  #finish(): void {
    this.#terminal = true;
    this.#clearTimers();
    this.#offers.clear();
    this.#settled.resolve();
  }

  /** One credit frame under way at a time: a client that does not read makes no queue of them. */
  #giveCredit(bytes: number): void {
    this.#creditOwed += bytes;
    if (this.#creditUnderWay || this.#terminal) return;
    this.#creditUnderWay = true;
    void this.#sendCredit();
  }

  async #sendCredit(): Promise<void> {
    try {
      while (this.#creditOwed > 0 && !this.#terminal) {
        const credit = this.#creditOwed;
        this.#creditOwed = 0;
        await this.#options.writer.send({ id: this.#options.id, credit });
      }
    } catch {
      // The connection ended; its reader notices.
    } finally {
      this.#creditUnderWay = false;
    }
  }

  #after(ms: number, what: () => void): void {
    this.#timers.push(longTimer(ms, what));
  }

  #clearTimers(): void {
    for (const timer of this.#timers) timer.cancel();
    this.#timers = [];
  }
}
