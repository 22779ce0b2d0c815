/**
 * The seam between whatever carries bytes to the guest and everything that talks to the agent:
 * many independent streams over one carrier. `mux.ts` makes one over virtio-serial, where a dead
 * session's bytes may still arrive and only one client exists at a time; over vsock the same mux
 * runs on one connection, so both transports have the same semantics.
 */
import type { Duplex } from "./duplex.ts";

export interface IncomingStream {
  /** What the opener wrote in its open frame, ≤ 60 KiB (JSON text by convention). */
  readonly header: Uint8Array;
  readonly stream: Duplex;
}

export interface Mux {
  /** Opens a stream; resolves at once, without a round trip. Rejects once the mux is closed. */
  open(header: Uint8Array): Promise<Duplex>;
  /** Streams that the peer opens, in order. Ends when the mux is closed. */
  readonly incoming: AsyncIterable<IncomingStream>;
  /** Resolves with the reason once the session is over (peer restarted, carrier ended, close()). */
  readonly closed: Promise<Error>;
  /** Round trip in milliseconds. */
  ping(options?: { signal?: AbortSignal }): Promise<number>;
  /** Ends the session; every stream errors with `reason`. Idempotent. */
  close(reason?: Error): void;
}
