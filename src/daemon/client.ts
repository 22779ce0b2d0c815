/**
 * A client's connection to a daemon: the name at the socket's place is looked at first (a file or
 * link there is refused, not called "nobody listens"), then hello, then requests.
 */
import { systemClock } from "../base/clock.ts";
import { RumError, toRumError } from "../base/errors.ts";
import { withDeadline } from "../base/deadline.ts";
import { BUILD, VERSION } from "../base/version.ts";
import type { MachinePaths } from "../plan/paths.ts";
import type { DaemonMethods, MethodName, Welcome } from "../protocol/daemon.ts";
import { FrameReader, FrameWriter } from "../wire/frames.ts";
import { type RequestOptions, RpcClient } from "../wire/rpc_client.ts";
import { dial, hungError, unreachable } from "./ask_line.ts";
import { introduce } from "./handshake.ts";
import { checkSocketName } from "./publish.ts";
import { readToken } from "./token.ts";
import { unixDuplex } from "./unix_duplex.ts";

const FIRST_WAIT_MS = 20;
const LAST_WAIT_MS = 320;

export interface ConnectOptions {
  readonly signal?: AbortSignal;
  /** How long the daemon may take to say welcome. */
  readonly helloMs?: number;
  /** Read from the machine's token file when not given. */
  readonly token?: string;
}

export type EventOf<M extends MethodName> = DaemonMethods[M]["event"];
export type ResultOf<M extends MethodName> = DaemonMethods[M]["result"];

export interface DaemonRequestOptions<M extends MethodName>
  extends Omit<RequestOptions, "onEvent"> {
  readonly onEvent?: (event: EventOf<M>) => void | Promise<void>;
}

export interface DaemonClient extends AsyncDisposable {
  readonly welcome: Welcome;
  /** @throws {RumError} what the method refused with, or `daemon_failed` when the daemon went */
  request<M extends MethodName>(
    method: M,
    params: DaemonMethods[M]["params"],
    options?: DaemonRequestOptions<M>,
  ): Promise<ResultOf<M>>;
  /** Resolves with the reason when the connection is over. */
  readonly ended: Promise<RumError>;
  /** Idempotent, never throws. */
  close(): Promise<void>;
}

/**
 * @throws {RumError} `daemon_unreachable` (with `data.kind`), `daemon_hung` when nobody says
 *   welcome, `version_mismatch`, `unauthorized`, `state_invalid` for what is no socket
 */
export async function connectDaemon(
  paths: Pick<MachinePaths, "socket" | "daemonToken">,
  options: ConnectOptions = {},
): Promise<DaemonClient> {
  const { helloMs = 3000, signal } = options;
  try {
    return await withDeadline(
      { waitingFor: "The daemon's welcome", timeoutMs: helloMs, signal },
      (stop) => meetPatiently(paths, options.token, stop),
    );
  } catch (thrown) {
    if (signal?.aborted) throw signal.reason;
    const error = toRumError(thrown);
    throw error.code === "timeout" ? hungError(paths.socket, helloMs) : error;
  }
}

/** Sent away without a word by a daemon that lives, because it was crowded: there is room soon. */
async function meetPatiently(
  paths: Pick<MachinePaths, "socket" | "daemonToken">,
  token: string | undefined,
  signal: AbortSignal,
): Promise<DaemonClient> {
  for (let waitMs = FIRST_WAIT_MS;; waitMs *= 2) {
    if (await checkSocketName(paths.socket) === "absent") throw unreachable(paths.socket, "absent");
    try {
      return await meet(paths, token, signal);
    } catch (thrown) {
      const closed = thrown instanceof RumError && thrown.data?.kind === "closed";
      if (!closed || waitMs > LAST_WAIT_MS) throw thrown;
      await systemClock.sleep(waitMs * (0.5 + Math.random()), { signal });
    }
  }
}

async function meet(
  paths: Pick<MachinePaths, "socket" | "daemonToken">,
  givenToken: string | undefined,
  signal: AbortSignal,
): Promise<DaemonClient> {
  const duplex = unixDuplex(await dial(paths.socket));
  const onAbort = () => duplex.abort();
  signal.addEventListener("abort", onAbort, { once: true });
  if (signal.aborted) duplex.abort();
  try {
    const reader = new FrameReader(duplex.readable);
    const writer = new FrameWriter(duplex.writable);
    const token = givenToken ?? await readToken(paths.daemonToken);
    // Whoever destroys a machine answers to the end, and its token goes before it does.
    if (token === undefined) throw unreachable(paths.socket, "no_token");
    const welcome = await introduce(reader, writer, {
      token,
      version: VERSION,
      build: buildName(),
    });
    const rpc = new RpcClient({
      reader,
      writer,
      limits: {
        maxFrame: welcome.limits.max_frame,
        maxRequest: welcome.limits.max_request,
        inputWindow: welcome.limits.input_window,
      },
    });
    const close = () => {
      rpc.close();
      duplex.abort();
      return Promise.resolve();
    };
    return {
      welcome,
      request: (method, params, options) =>
        rpc.request(method, params, options as RequestOptions) as Promise<never>,
      ended: rpc.ended,
      close,
      [Symbol.asyncDispose]: close,
    };
  } catch (thrown) {
    duplex.abort();
    if (thrown instanceof RumError && !endedEarly(thrown)) throw thrown;
    throw unreachable(paths.socket, "closed", thrown);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}

/** Sent away without a word: the daemon was crowded, or is ending. */
function endedEarly(error: RumError): boolean {
  return error.code === "protocol_error" && /connection ended/.test(error.message);
}

/** What tells two builds of one version apart. */
export function buildName(): string {
  return `${BUILD.form}-${BUILD.commit}`;
}
