/**
 * Many streams over one carrier, for a carrier that has no connections.
 *
 *   carrier bytes → SyncScanner → FrameParser → MuxSession → streams
 *   streams → MuxSession.fill → one write per batch → carrier
 *
 * Sessions. Each side has an epoch, a random number that it changes only when it starts anew or
 * ends a session by its own will. A session is a pair of epochs; every frame carries a tag made of
 * both, so what is left over from another pair is recognised and skipped. A side announces itself
 * by SYNC{own epoch, peer's epoch as known}, answers every SYNC that does not know it yet, and
 * repeats the first one until somebody answered. Since an answer is only due to a peer that does
 * not know us, and an epoch never changes because the peer's did, the exchange ends.
 *
 * A SYNC with an epoch that is new to us means that the peer is: every stream of the old session
 * errors, and a new session begins with the bytes after it. It is found anywhere in the byte
 * stream, see `mux_frame.ts`.
 *
 * What is not done here: deciding that a silent peer is dead (whoever knows that the machine is
 * paused can `ping`), proving who the peer is (the agent's hello), reconnecting (the links).
 *
 * A carrier's `write` must be through with the chunk when it resolves: the buffer is used again.
 */
import { RumError } from "../base/errors.ts";
import type { Duplex } from "./duplex.ts";
import {
  MUX_VERSION,
  type MuxRole,
  putSync,
  randomEpoch,
  sessionTag,
  type Sync,
  SYNC_BYTES,
} from "./mux_frame.ts";
import { FrameParser, SyncScanner } from "./mux_scan.ts";
import {
  DEFAULT_LIMITS,
  FILL_SLACK,
  type MuxLimits,
  MuxSession,
  sessionError,
} from "./mux_session.ts";
import type { Mux } from "./mux_types.ts";

export interface MuxOptions {
  readonly role: MuxRole;
  /** Own epoch; a random one unless told. */
  readonly epoch?: bigint;
  readonly limits?: Partial<MuxLimits>;
}

/** A carrier that outlives sessions: the peer may restart on it any number of times. */
export interface MuxCarrier {
  /**
   * The session with the peer's present life, as soon as there is one; each is given out once.
   *
   * @throws {RumError} when the carrier has ended, or the signal's reason
   */
  next(options?: { signal?: AbortSignal }): Promise<Mux>;
  /** Resolves with the reason once the carrier has ended. */
  readonly closed: Promise<Error>;
  /** Ends carrier and session. Idempotent. */
  close(reason?: Error): void;
}

/** One session over a carrier; the carrier ends with it. Streams opened early wait for the peer. */
export function createMux(carrier: Duplex, options: MuxOptions): Mux {
  return new MuxEngine(carrier, options, true).first;
}

/** One session after the other over a carrier that has no connections of its own. */
export function muxOver(carrier: Duplex, options: MuxOptions): MuxCarrier {
  return new MuxEngine(carrier, options, false);
}

const SYNC_REPEAT_FIRST_MS = 250;
const SYNC_REPEAT_MAX_MS = 5000;

class MuxEngine implements MuxCarrier {
  readonly closed: Promise<Error>;
  readonly first: MuxSession;
  readonly #carrier: Duplex;
  readonly #role: MuxRole;
  readonly #limits: MuxLimits;
  readonly #single: boolean;
  readonly #closed = Promise.withResolvers<Error>();
  #ended: Error | undefined;

  #epoch: bigint;
  #peer: Sync | undefined;
  #session: MuxSession;
  #offered: MuxSession | undefined;
  #waiting: PromiseWithResolvers<void> | undefined;

  readonly #parser: FrameParser;
  #syncWanted = true;
  #repeatTimer: ReturnType<typeof setTimeout> | undefined;
  #wake: PromiseWithResolvers<void> | undefined;

  constructor(carrier: Duplex, options: MuxOptions, single: boolean) {
    this.#carrier = carrier;
    this.#role = options.role;
    this.#single = single;
    this.#limits = { ...DEFAULT_LIMITS, ...options.limits };
    this.#epoch = options.epoch ?? randomEpoch();
    this.closed = this.#closed.promise;
    this.#parser = new FrameParser({
      frame: (header, payload) => this.#session.frame(header, payload),
    });
    this.#session = this.first = this.#makeSession();
    this.#pump();
    this.#read();
    this.#repeatSync(SYNC_REPEAT_FIRST_MS);
  }

  async next(options: { signal?: AbortSignal } = {}): Promise<Mux> {
    const { signal } = options;
    for (;;) {
      signal?.throwIfAborted();
      if (this.#ended !== undefined) throw this.#ended;
      const session = this.#offered;
      this.#offered = undefined;
      if (session !== undefined && session.ended === undefined) return session;
      this.#waiting ??= Promise.withResolvers<void>();
      await orAborted(this.#waiting.promise, signal);
    }
  }

  close(reason: Error = new RumError("cancelled", "The guest link was closed on this side")): void {
    if (this.#ended !== undefined) return;
    this.#ended = reason;
    clearTimeout(this.#repeatTimer);
    this.#session.close(reason);
    this.#wake?.resolve();
    this.#waiting?.resolve();
    this.#carrier.abort(reason);
    this.#closed.resolve(reason);
  }

  #makeSession(): MuxSession {
    return new MuxSession({
      role: this.#role,
      limits: this.#limits,
      wake: () => this.#wake?.resolve(),
      onEnded: (session) => this.#sessionEnded(session),
    });
  }

  /** Ended from within: by its user, or because the peer broke a rule. */
  #sessionEnded(session: MuxSession): void {
    if (session !== this.#session || this.#ended !== undefined) return;
    if (this.#single) return this.close(session.ended);
    // The peer shall know: a new epoch ends the session on its side too.
    this.#epoch = randomEpoch();
    this.#syncWanted = true;
    this.#begin();
  }

  /** A new session with the peer as it is known now. */
  #begin(): void {
    this.#session = this.#makeSession();
    if (this.#peer !== undefined) this.#attach(this.#peer);
    this.#wake?.resolve();
  }

  #attach(peer: Sync): void {
    const [host, guest] = this.#role === "host"
      ? [this.#epoch, peer.epoch]
      : [peer.epoch, this.#epoch];
    clearTimeout(this.#repeatTimer);
    this.#session.attach(sessionTag(host, guest), peer.window);
    this.#offered = this.#session;
    this.#waiting?.resolve();
    this.#waiting = undefined;
  }

  #onSync(sync: Sync): void {
    if (this.#ended !== undefined) return;
    // Our own words come back: a terminal's echo, or a carrier that loops. Not a peer.
    if (sync.role === this.#role) return;
    if (sync.version !== MUX_VERSION) {
      return this.close(
        new RumError(
          "version_mismatch",
          `The other end of the guest link speaks version ${sync.version} of it, wanted ${MUX_VERSION}`,
        ),
      );
    }
    const lost = this.#parser.midFrame;
    this.#parser.reset();
    if (sync.seen !== this.#epoch) {
      this.#syncWanted = true;
      this.#wake?.resolve();
    }
    if (this.#peer === undefined) {
      this.#peer = sync;
      return this.#attach(sync);
    }
    if (this.#peer.epoch !== sync.epoch) {
      this.#peer = sync;
      this.#replace(
        this.#role === "host"
          ? sessionError(this.#role, "agent_restarted", "agent restarted")
          : sessionError(this.#role, "cancelled", "connected anew"),
      );
    } else if (lost) {
      this.#session.close(sessionError(this.#role, "protocol_error", "lost part of a frame"));
    }
  }

  #replace(reason: RumError): void {
    const old = this.#session;
    if (this.#single) return this.close(reason);
    this.#begin();
    old.close(reason);
  }

  async #read(): Promise<void> {
    const scanner = new SyncScanner({
      bytes: (span) => {
        if (this.#peer === undefined || this.#ended !== undefined) return;
        const fault = this.#parser.push(span);
        if (fault === undefined) return;
        this.#parser.reset();
        this.#peer = undefined;
        this.#session.close(sessionError(this.#role, "protocol_error", `sent ${fault}`));
        this.#repeatSync(SYNC_REPEAT_FIRST_MS);
      },
      sync: (sync) => this.#onSync(sync),
    });
    const reader = this.#carrier.readable.getReader();
    let ending: Error = this.#carrierError();
    try {
      while (this.#ended === undefined) {
        const { value, done } = await reader.read();
        if (done) break;
        scanner.push(value);
      }
    } catch (error) {
      ending = this.#carrierError(error);
    }
    this.close(ending);
    reader.cancel(ending).catch(() => {});
  }

  async #pump(): Promise<void> {
    const buffer = new Uint8Array(SYNC_BYTES + this.#limits.batchBytes + FILL_SLACK);
    const writer = this.#carrier.writable.getWriter();
    writer.closed.catch(() => {});
    try {
      while (this.#ended === undefined) {
        let end = 0;
        if (this.#syncWanted) {
          this.#syncWanted = false;
          end = putSync(buffer, 0, {
            version: MUX_VERSION,
            role: this.#role,
            window: this.#limits.initialWindow,
            epoch: this.#epoch,
            seen: this.#peer?.epoch ?? 0n,
          });
        }
        end = this.#session.fill(buffer, end);
        if (end === 0) {
          this.#wake = Promise.withResolvers<void>();
          await this.#wake.promise;
          this.#wake = undefined;
        } else {
          await writer.write(buffer.subarray(0, end));
        }
      }
    } catch (error) {
      this.close(this.#carrierError(error));
    }
    writer.abort(this.#ended).catch(() => {});
  }

  /** Until the peer answered, in case the first one got lost with a life of it. */
  #repeatSync(delayMs: number): void {
    if (this.#ended !== undefined) return;
    clearTimeout(this.#repeatTimer);
    this.#repeatTimer = setTimeout(() => {
      if (this.#peer !== undefined) return;
      this.#syncWanted = true;
      this.#wake?.resolve();
      this.#repeatSync(Math.min(delayMs * 2, SYNC_REPEAT_MAX_MS));
    }, delayMs);
  }

  #carrierError(cause?: unknown): RumError {
    const code = this.#role === "host" ? "agent_unavailable" : "cancelled";
    const peer = this.#role === "host" ? "guest" : "host";
    const how = cause === undefined ? "was closed" : "broke";
    return new RumError(code, `The link to the ${peer} ended: its carrier ${how}`, { cause });
  }
}

async function orAborted(work: Promise<void>, signal: AbortSignal | undefined): Promise<void> {
  if (signal === undefined) return await work;
  const stopped = Promise.withResolvers<never>();
  const onAbort = () => stopped.reject(signal.reason);
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    await Promise.race([work, stopped.promise]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}
