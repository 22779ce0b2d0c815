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
}
