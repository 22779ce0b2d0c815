/**
 * What a call looks like from both ends, without any transport: the table that a server is built
 * from and the messages that travel as frames. SPEC section 6.
 *
 *   client → server                         server → client
 *   {id, method, params?, deadline_ms?}     {id, seq, event}          any number, seq from 1
 *   {notify: "cancel", id}                  {id, result}              exactly one of these two,
 *   {notify: "input", id, data | end}       {id, error}               and nothing of that id after
 *   {notify: "resize", id, columns, rows}   {id, credit}              input bytes consumed
 *                                           {error}                   then the connection closes
 *
 * Input is flow-controlled per call: a client may have `inputWindow` bytes under way that the
 * handler has not taken yet. Output is flow-controlled by the socket: `emit` waits.
 */
import {
  type ErrorCode,
  errorDocument,
  exitCodeOf,
  isErrorCode,
  RumError,
} from "../base/errors.ts";
import { flag, integer, object, oneOf, optional, type Shape, text } from "../protocol/shape.ts";

export interface TerminalSize {
  readonly columns: number;
  readonly rows: number;
}

/** Who calls. */
export interface CallContext {
  readonly method: string;
  /** Unique per connection within one daemon: the owner of a run is a connection. */
  readonly connection: number;
  readonly client: { readonly version: string; readonly build: string };
  readonly deadlineMs?: number;
  /** Aborted when the connection ends, whatever becomes of the call. */
  readonly disconnected: AbortSignal;
}

/** What a handler has besides its parameters. */
export interface CallIo {
  /** Aborted by cancel, deadline, disconnect (unless it survives that) and the daemon's end. */
  readonly signal: AbortSignal;
  /**
   * Sends one event that must not be lost; resolves when the connection took it, so a client that
   * does not read slows its own call and nobody else. Of a mutation it never waits: it is `offer`.
   *
   * @throws the signal's reason once the call is over
   */
  emit(event: unknown): Promise<void>;
  /** Sends an event that may be lost: never waits, the oldest go first, and the client is told
   * how many did by a `{type: "dropped", count}` event. */
  offer(event: unknown): void;
  /** What the client sends; taking the next chunk lets it send more. One reader. */
  readonly input: AsyncIterable<Uint8Array>;
  onResize(listener: (size: TerminalSize) => void): void;
}

export interface Method<P = unknown> {
  readonly params: Shape<P>;
  /**
   * read      answers at once and waits for no mutation
   * stream    lives as long as its client wants; bytes and events
   * mutation  changes the machine; refused with `shutting_down` once a release began
   */
  readonly kind: "read" | "stream" | "mutation";
  /** Runs to its end although its client went away, gave up waiting or cancelled. */
  readonly survivesDisconnect?: boolean;
  handle(context: CallContext, params: P, io: CallIo): unknown;
}

export type MethodTable = Readonly<Record<string, Method>>;

/** Binds the type of `handle`'s parameters to the shape that checks them. */
export function method<P>(definition: Method<P>): Method {
  return definition as Method;
}

export interface WireError {
  /** The exit code's number: a class of failures, for programs that want one number. */
  readonly code: number;
  readonly name: ErrorCode;
  readonly message: string;
  readonly hint?: string;
  readonly data?: Readonly<Record<string, unknown>>;
}

export function wireError(error: RumError): WireError {
  const { code, message, hint, data } = errorDocument(error);
  return {
    code: exitCodeOf(code),
    name: code,
    message,
    ...(hint === undefined ? {} : { hint }),
    ...(data === undefined ? {} : { data }),
  };
}

export interface RpcLimits {
  readonly maxFrame: number;
  readonly maxRequest: number;
  readonly maxCalls: number;
  readonly inputWindow: number;
}

export const RPC_LIMITS: RpcLimits = {
  maxFrame: 16 * 1024 * 1024,
  maxRequest: 1024 * 1024,
  maxCalls: 16,
  inputWindow: 256 * 1024,
};

/** Bulk bytes travel in chunks of at most this. */
export const CHUNK_BYTES = 64 * 1024;

const id = integer(0);

export const requestShape = object({
  id,
  method: text(64),
  deadline_ms: optional(integer(1)),
});

export const notificationShape = object({
  notify: oneOf("cancel", "input", "resize"),
  id,
  data: optional(text(Math.ceil(CHUNK_BYTES / 3) * 4)),
  end: optional(flag()),
  columns: optional(integer(1, 65535)),
  rows: optional(integer(1, 65535)),
});

/** An error as it came over the wire. A name that this build does not know becomes `internal`. */
export function errorFromWire(value: unknown): RumError {
  const error = (typeof value === "object" && value !== null ? value : {}) as Partial<WireError>;
  return new RumError(
    typeof error.name === "string" && isErrorCode(error.name) ? error.name : "internal",
    typeof error.message === "string" ? error.message : "An error without a message",
    {
      hint: typeof error.hint === "string" ? error.hint : undefined,
      data: typeof error.data === "object" && error.data !== null ? error.data : undefined,
    },
  );
}
