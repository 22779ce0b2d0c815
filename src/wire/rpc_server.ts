/**
 * The serving side of one connection after its hello: requests in, calls out, notifications to the
 * right call. One task reads; every call is a task of its own, so a slow call delays no other.
 *
 * Back pressure towards a client that sends and never reads: refusals are awaited by the reading
 * task, and a call keeps its place until its terminal frame was taken. So at most `maxCalls` answers
 * and one refusal are under way, and the rest of what it sends waits in its own socket.
 */
import { RumError, toRumError } from "../base/errors.ts";
import { type Infer, ShapeError } from "../protocol/shape.ts";
import type { FrameReader, FrameWriter } from "./frames.ts";
import { ServerCall } from "./rpc_call.ts";
import {
  CHUNK_BYTES,
  type Method,
  type MethodTable,
  notificationShape,
  requestShape,
  RPC_LIMITS,
  type RpcLimits,
  wireError,
} from "./rpc_types.ts";

export interface RpcServerOptions {
  readonly reader: FrameReader;
  readonly writer: FrameWriter;
  readonly methods: MethodTable;
  readonly connection: number;
  readonly client: { readonly version: string; readonly build: string };
  /** Why a call of this method is not taken now; undefined to take it. */
  readonly refuse?: (name: string, method: Method) => RumError | undefined;
  readonly limits?: RpcLimits;
  readonly graceMs?: number;
}

export class RpcServer {
  readonly #options: RpcServerOptions;
  readonly #limits: RpcLimits;
  readonly #calls = new Map<number, ServerCall>();
  readonly #disconnected = new AbortController();
  #idle?: PromiseWithResolvers<void>;

  constructor(options: RpcServerOptions) {
    this.#options = options;
    this.#limits = options.limits ?? RPC_LIMITS;
    options.reader.maxBytes = this.#limits.maxRequest;
  }

  get calls(): number {
    return this.#calls.size;
  }

  /** Serves until the peer closes, breaks the protocol (one error frame), or the stream fails. */
  async serve(): Promise<void> {
    const { reader, writer } = this.#options;
    let why = new RumError("cancelled", "The client went away");
    try {
      for (let frame = await reader.next(); frame !== undefined; frame = await reader.next()) {
        await this.#take(frame.value);
      }
    } catch (thrown) {
      if (thrown instanceof RumError) {
        why = thrown;
        await writer.send({ error: wireError(thrown) }).catch(() => {});
      }
    } finally {
      this.#disconnected.abort(why);
      for (const call of this.#calls.values()) call.disconnect(why);
    }
  }

  /** Resolves when no call is under way. */
  async idle(): Promise<void> {
    if (this.#calls.size === 0) return;
    this.#idle ??= Promise.withResolvers<void>();
    await this.#idle.promise;
  }

  /** Calls every call off, each with its one terminal frame. */
  stop(reason: RumError, options: { graceMs?: number } = {}): void {
    for (const call of this.#calls.values()) call.stop(reason, options);
  }

  async #take(value: unknown): Promise<void> {
    if (typeof value !== "object" || value === null || Array.isArray(value)) {
      throw new RumError("protocol_error", "A frame is not an object");
    }
    if (Object.hasOwn(value, "notify")) return this.#notify(checked(notificationShape, value));
    const request = checked(requestShape, value);
    if (this.#calls.has(request.id)) {
      throw new RumError("protocol_error", `The id ${request.id} is in use by a running call`);
    }
    const params = (value as { params?: unknown }).params;
    try {
      this.#start(request, params ?? {});
    } catch (thrown) {
      await this.#options.writer.send({ id: request.id, error: wireError(toRumError(thrown)) });
    }
  }

  #start(request: Infer<typeof requestShape>, rawParams: unknown): void {
    const { id, method: name } = request;
    const { maxCalls } = this.#limits;
    if (this.#calls.size >= maxCalls) {
      throw new RumError("busy", `This connection has ${maxCalls} calls under way already`, {
        hint: "wait for one of them, or open another connection",
      });
    }
    const { methods, refuse, connection, client, writer, graceMs } = this.#options;
    const method = Object.hasOwn(methods, name) ? methods[name] : undefined;
    if (method === undefined) {
      throw new RumError("method_not_found", `There is no method "${name}"`);
    }
    const refusal = refuse?.(name, method);
    if (refusal !== undefined) throw refusal;
    const params = checkedParams(method, name, rawParams);
    const call = new ServerCall({
      id,
      method,
      writer,
      limits: this.#limits,
      graceMs: graceMs ?? 2000,
      context: {
        method: name,
        connection,
        client,
        deadlineMs: request.deadline_ms,
        disconnected: this.#disconnected.signal,
      },
    });
    this.#calls.set(id, call);
    void Promise.all([call.run(params), call.settled]).then(() => {
      this.#calls.delete(id);
      if (this.#calls.size === 0) this.#idle?.resolve();
    });
  }

  /** News for a call that is over already is no mistake: it crossed its terminal frame. */
  #notify(note: Infer<typeof notificationShape>): void {
    const call = this.#calls.get(note.id);
    if (call === undefined) return;
    switch (note.notify) {
      case "cancel":
        return call.stop(new RumError("cancelled", "The client called it off"));
      case "input":
        if (note.data !== undefined) call.input.push(decodeChunk(note.data));
        if (note.end === true) call.input.end();
        return;
      case "resize":
        if (note.columns === undefined || note.rows === undefined) {
          throw new RumError("protocol_error", "resize wants columns and rows");
        }
        return call.resize({ columns: note.columns, rows: note.rows });
    }
  }
}

function decodeChunk(data: string): Uint8Array {
  let bytes: Uint8Array;
  try {
    bytes = Uint8Array.fromBase64(data);
  } catch (cause) {
    throw new RumError("protocol_error", "Input is not base64", { cause });
  }
  if (bytes.length > CHUNK_BYTES) {
    throw new RumError("too_large", `An input chunk has ${bytes.length} bytes`);
  }
  return bytes;
}

function checked<T>(shape: (value: unknown, path: string) => T, value: unknown): T {
  try {
    return shape(value, "");
  } catch (thrown) {
    if (thrown instanceof ShapeError) {
      throw new RumError("protocol_error", `A frame has no meaning: ${thrown.message}`);
    }
    throw thrown;
  }
}

function checkedParams(method: Method, name: string, value: unknown): unknown {
  try {
    return method.params(value, "");
  } catch (thrown) {
    if (thrown instanceof ShapeError) {
      throw new RumError("invalid_params", `Cannot call ${name}: ${thrown.message}`);
    }
    throw thrown;
  }
}
