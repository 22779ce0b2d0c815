/**
 * A client's side of a call that carries a byte stream (`proxy`, `cp`): the call as a Duplex. What
 * the daemon refused or what ended the call is kept in `failure`, because whoever reads the stream
 * may dress it up as something else. A reader that has what it wants and lets go has not failed: why
 * it did so is its own to say.
 */
import { RumError, toRumError } from "../base/errors.ts";
import type { BytesEvent, CpParams } from "../protocol/daemon.ts";
import type { Duplex } from "../wire/duplex.ts";
import type { Mux } from "../wire/mux_types.ts";
import { parseJson } from "../wire/json.ts";
import type { DaemonClient } from "./client.ts";

/** Bytes that wait for a slow reader before the daemon is held up. */
const WINDOW = 256 * 1024;

export interface CallStream extends Duplex {
  /** Resolves when the call has ended, in order or not. */
  readonly ended: Promise<void>;
  readonly failure: RumError | undefined;
}

type StreamMethod = "proxy" | "cp";

export function openCallStream(
  client: Pick<DaemonClient, "request">,
  method: StreamMethod,
  params: { readonly port: number } | CpParams,
  options: { readonly signal?: AbortSignal } = {},
): CallStream {
  const cancel = new AbortController();
  const onAbort = () => cancel.abort(options.signal!.reason);
  options.signal?.addEventListener("abort", onAbort, { once: true });
  if (options.signal?.aborted) onAbort();
  const input = new TransformStream<Uint8Array, Uint8Array>();
  let source!: ReadableStreamDefaultController<Uint8Array>;
  let wanted: (() => void) | undefined;
  let over = false;
  let letGo = false;
  let failure: RumError | undefined;
  const giveUp = (reason: unknown) => {
    letGo = true;
    cancel.abort(reason);
  };
  const readable = new ReadableStream<Uint8Array>({
    start: (controller) => void (source = controller),
    pull: () => wanted?.(),
    cancel: (reason) => giveUp(reason ?? new RumError("cancelled", "Nobody reads any more")),
  }, { highWaterMark: WINDOW, size: (chunk) => chunk.byteLength });
  const finish = (error?: RumError) => {
    if (over) return;
    over = true;
    wanted?.();
    if (error === undefined) source.close();
    else source.error(error);
  };
  const ended = client.request(method as "proxy", params as { port: number }, {
    input: input.readable,
    signal: cancel.signal,
    async onEvent(event: BytesEvent) {
      if (over) return;
      if (event.data !== "") source.enqueue(Uint8Array.fromBase64(event.data));
      if (event.end) return finish();
      if ((source.desiredSize ?? 1) > 0) return;
      await new Promise<void>((resolve) => wanted = resolve);
      wanted = undefined;
    },
  }).then(() => finish(), (thrown) => {
    const error = toRumError(cancel.signal.aborted ? cancel.signal.reason : thrown);
    if (!letGo) failure = error;
    finish(error);
  }).finally(() => options.signal?.removeEventListener("abort", onAbort));
  return {
    readable,
    writable: input.writable,
    ended,
    get failure() {
      return failure;
    },
    abort(reason) {
      giveUp(reason ?? new RumError("cancelled", "The stream was given up"));
      finish(toRumError(cancel.signal.reason));
    },
  };
}

export interface CpLink {
  readonly mux: Mux;
  /** What a copy failed of: the daemon's own words where they are behind it, else itself. */
  cause(thrown: unknown): unknown;
}

/**
 * The agent's file methods through the daemon, in the place of the agent's own link: each stream is
 * one `cp` call.
 */
export function cpLink(client: Pick<DaemonClient, "request">): CpLink {
  let failure: (() => RumError | undefined) | undefined;
  const mux: Mux = {
    open(header) {
      const { m: method, p: params, more } = parseJson(header, "A call's header") as {
        m: CpParams["method"];
        p?: unknown;
        more?: boolean;
      };
      const stream = openCallStream(client, "cp", {
        method,
        ...(params === undefined ? {} : { params }),
        ...(more ? { more } : {}),
      });
      failure = () => stream.failure;
      return Promise.resolve(stream);
    },
    incoming: (async function* () {})(),
    closed: new Promise(() => {}),
    ping: () => Promise.reject(new RumError("not_supported", "A copy's link has no ping")),
    close() {},
  };
  return {
    mux,
    cause(thrown) {
      const told = failure?.();
      for (let at = thrown; at instanceof Error; at = at.cause) if (at === told) return told;
      return thrown;
    },
  };
}
