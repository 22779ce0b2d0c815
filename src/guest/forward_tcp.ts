/**
 * One TCP port of the host that leads to a port of the guest: each connection is one stream of the
 * agent's link, and what one side does, the other sees.
 *
 *   host FIN     → half-close of the stream       guest FIN    → FIN
 *   host RST     → reset of the stream            guest reset  → RST
 *   host slow    → the stream's window fills; other streams do not notice
 *   guest refuses, no agent → RST of this one connection; the listener stays
 *   our process is killed   → RST (reset_on_death.ts)
 *
 * A real RST, because a client that is told FIN where the guest said RST takes half an answer for a
 * whole one. Not by node:net, which has that built in: Deno keeps up to 16 MiB of its read buffers.
 */
import { RumError } from "../base/errors.ts";
import type { Duplex } from "../wire/duplex.ts";
import { copyFromConn, copyToConn } from "../wire/splice.ts";
import { endingOf } from "../../ffi/tcp_sockets.ts";
import { endsInOrder, resetOnDeath } from "./reset_on_death.ts";

/** Out of descriptors, say: the connection waits in the kernel and the listener stays. */
const ACCEPT_AGAIN_MS = 100;

export interface TcpForwardOptions {
  readonly bind: string;
  /** 0 picks a free one. */
  readonly port: number;
  /** A stream to the guest's port; rejects when the guest refuses or no agent is there. */
  readonly dial: (signal: AbortSignal) => Promise<Duplex>;
}

export interface TcpForward extends AsyncDisposable {
  readonly port: number;
  /** Connections open now, and since the start. */
  readonly active: number;
  readonly total: number;
  /** Stops listening and resets what is open. Idempotent. */
  close(): Promise<void>;
}

/** @throws {RumError} `port_in_use`, `permission_denied` or `invalid_params` */
export function openTcpForward(options: TcpForwardOptions): TcpForward {
  const closing = new AbortController();
  const open = new Set<Promise<void>>();
  let total = 0;
  const listener = listen(options);
  const { port } = listener.addr;
  try {
    resetOnDeath(port);
  } catch {
    // No /proc, or another C library: a killed daemon's connections end in order then.
  }
  const accepting = accept(listener, closing.signal, (conn) => {
    total++;
    const one = serve(conn, options.dial, closing.signal);
    open.add(one);
    one.then(() => open.delete(one));
  });
  const close = async () => {
    if (!closing.signal.aborted) {
      closing.abort(new Error("The forward was closed"));
      listener.close();
    }
    await Promise.all([accepting, ...open]);
  };
  return {
    port,
    get active() {
      return open.size;
    },
    get total() {
      return total;
    },
    close,
    [Symbol.asyncDispose]: close,
  };
}

function listen({ bind, port }: TcpForwardOptions): Deno.TcpListener {
  try {
    return Deno.listen({ hostname: bind, port });
  } catch (cause) {
    throw listenError(bind, port, cause as Error & { code?: string });
  }
}

async function accept(
  listener: Deno.TcpListener,
  closing: AbortSignal,
  take: (conn: Deno.TcpConn) => void,
): Promise<void> {
  while (!closing.aborted) {
    try {
      take(await listener.accept());
    } catch {
      if (closing.aborted) return;
      await new Promise((again) => setTimeout(again, ACCEPT_AGAIN_MS));
    }
  }
}

export function listenError(
  bind: string,
  port: number,
  cause: Error & { code?: string },
): RumError {
  const at = `${bind.includes(":") ? `[${bind}]` : bind}:${port}`;
  switch (cause.code) {
    case "EADDRINUSE":
      return new RumError("port_in_use", `Cannot listen on ${at}: the port is taken`, {
        cause,
        data: { bind, port },
      });
    case "EACCES":
      return new RumError(
        "permission_denied",
        `Cannot listen on ${at}: this user may not use ports below 1024`,
        { cause, data: { bind, port } },
      );
    case "EADDRNOTAVAIL":
    // Deno's node:net has no name for it.
    case "EINVAL":
      return new RumError("invalid_params", `Cannot listen on ${at}: this host has no ${bind}`, {
        cause,
        data: { bind, port },
      });
    default:
      return new RumError("invalid_params", `Cannot listen on ${at}: ${cause.message}`, { cause });
  }
}

/**
 * Never rejects: whatever goes wrong ends this connection and nothing else. Reading starts with the
 * splice: until the guest answered, the client's bytes wait in the kernel.
 */
async function serve(
  conn: Deno.TcpConn,
  dial: TcpForwardOptions["dial"],
  closing: AbortSignal,
): Promise<void> {
  const ending = endingOf(conn);
  const { localAddr, remoteAddr } = conn;
  const abort = new AbortController();
  const onClosing = () => {
    ending.reset();
    abort.abort(closing.reason);
  };
  closing.addEventListener("abort", onClosing, { once: true });
  let stream: Duplex | undefined;
  try {
    conn.setNoDelay(true);
    stream = await dial(abort.signal);
    abort.signal.throwIfAborted();
    const writer = stream.writable.getWriter();
    await Promise.all([
      copyFromConn(conn, writer).then(() => writer.close()),
      copyToConn(stream.readable, conn).then(() => {
        // The last byte is the kernel's: from here on an end is an end, whoever dies.
        endsInOrder(localAddr.port, remoteAddr.port);
        return conn.closeWrite();
      }),
      // A guest that takes no more is noticed while the client is silent.
      writer.closed,
    ]);
    ending.close();
  } catch (error) {
    stream?.abort(error);
    ending.reset();
  } finally {
    closing.removeEventListener("abort", onClosing);
  }
}
