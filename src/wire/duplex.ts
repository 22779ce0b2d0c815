/**
 * A byte stream both ways: the one shape that sockets, mux streams, vsock connections and test
 * pipes share. Closing `writable` is a half-close (the peer reads its end, we may go on reading);
 * `abort` ends both directions at once and is passed on as a reset where the carrier has one.
 */
export interface Duplex {
  readonly readable: ReadableStream<Uint8Array>;
  readonly writable: WritableStream<Uint8Array>;
  /** Idempotent, never throws. */
  abort(reason?: unknown): void;
  /**
   * To be set by who must hear that the peer reset a direction, or that the carrier is gone, as mux
   * streams tell it: `writable` does so while our own half is open, `readable` to who reads just now.
   */
  onFailed?: (reason: unknown) => void;
}
