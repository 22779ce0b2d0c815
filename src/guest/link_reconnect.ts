/**
 * The host's side of a link that outlives what it connects to: the agent restarts, the guest
 * reboots, QEMU starts a moment after us. Whoever needs the agent asks for the next session; only
 * then is anything dialled, so there is no task in the background and nothing to leak.
 *
 * Two things may end a session: the peer's life (the carrier stays and the next session comes on it)
 * and the carrier (it is dialled anew, with growing pauses).
 */
import { RumError } from "../base/errors.ts";
import { backOffMs } from "../base/schedule.ts";
import { type Clock, systemClock } from "../base/clock.ts";
import type { Duplex } from "../wire/duplex.ts";
import { type MuxCarrier, muxOver } from "../wire/mux.ts";
import type { Mux } from "../wire/mux_types.ts";

/** Where sessions with the agent come from, whatever carries them. */
export interface GuestLink {
  /** What `status` shows: `virtio-serial`, `virtio-serial (libvirt channel)`, `vsock`. */
  readonly transport: string;
  /**
   * The session with the agent's present life, as soon as there is one. Each is given out once; ask
   * again when it is closed. The caller's signal is its deadline.
   *
   * @throws the signal's reason, or {RumError} `cancelled` after `close`
   */
  next(options: { signal: AbortSignal }): Promise<Mux>;
  /** What was seen last, for the sentence of a wait that ran out. */
  lastSeen(): string;
  /** Ends the session and the carrier. Idempotent. */
  close(reason?: Error): void;
}

export interface ReconnectOptions {
  readonly transport: string;
  /** One attempt; a rejection is a reason to try again later. */
  readonly dial: (signal: AbortSignal) => Promise<Duplex>;
  readonly clock?: Clock;
}

const PAUSES = { kind: "exponential", firstMs: 50, maxMs: 1000 } as const;

export function reconnectingLink(options: ReconnectOptions): GuestLink {
  return new ReconnectingLink(options);
}

class ReconnectingLink implements GuestLink {
  readonly transport: string;
  readonly #dial: (signal: AbortSignal) => Promise<Duplex>;
  readonly #clock: Clock;
  #carrier: MuxCarrier | undefined;
  #dialling: Promise<MuxCarrier> | undefined;
  #lastSeen = "nothing was tried yet";
  #failures = 0;
  #closed: Error | undefined;

  constructor(options: ReconnectOptions) {
    this.transport = options.transport;
    this.#dial = options.dial;
    this.#clock = options.clock ?? systemClock;
  }

  async next(options: { signal: AbortSignal }): Promise<Mux> {
    const { signal } = options;
    for (;;) {
      signal.throwIfAborted();
      if (this.#closed !== undefined) throw this.#closed;
      try {
        const carrier = await this.#connect(signal);
        const mux = await carrier.next({ signal });
        this.#failures = 0;
        this.#lastSeen = `a session by ${this.transport}`;
        return mux;
      } catch (error) {
        if (signal.aborted) throw error;
        if (this.#closed !== undefined) {
          this.#dropCarrier(this.#closed);
          throw this.#closed;
        }
        this.#dropCarrier();
        this.#lastSeen = error instanceof Error ? error.message : String(error);
        await this.#clock.sleep(backOffMs(PAUSES, ++this.#failures), { signal });
      }
    }
  }

  /** One dial at a time, whoever asks; a carrier that comes after `close` is closed at once. */
  #connect(signal: AbortSignal): Promise<MuxCarrier> {
    if (this.#carrier !== undefined) return Promise.resolve(this.#carrier);
    this.#dialling ??= this.#dial(signal).then((duplex) => {
      const carrier = muxOver(duplex, { role: "host" });
      if (this.#closed !== undefined) carrier.close(this.#closed);
      else this.#carrier = carrier;
      this.#lastSeen = `connected by ${this.transport}, and no agent answered yet`;
      return carrier;
    }).finally(() => this.#dialling = undefined);
    return this.#dialling;
  }

  lastSeen(): string {
    return this.#lastSeen;
  }

  close(reason: Error = new RumError("cancelled", "The link to the guest was closed")): void {
    this.#closed ??= reason;
    this.#dropCarrier(reason);
  }

  #dropCarrier(reason?: Error): void {
    this.#carrier?.close(reason);
    this.#carrier = undefined;
  }
}
