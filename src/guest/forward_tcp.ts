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
 * node:net rather than Deno.listen: it is the one that can send a real RST (`resetAndDestroy`), and a
 * client that is told FIN where the guest said RST takes half an answer for a whole one.
 */
import * as net from "node:net";
import { RumError } from "../base/errors.ts";
import type { Duplex } from "../wire/duplex.ts";
import { endsInOrder, resetOnDeath } from "./reset_on_death.ts";

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
export async function openTcpForward(options: TcpForwardOptions): Promise<TcpForward> {
  const open = new Map<net.Socket, AbortController>();
  let total = 0;
  // Reading starts with the splice: until the guest answered, the client's bytes wait in the kernel.
  const server = net.createServer({ allowHalfOpen: true, pauseOnConnect: true }, (socket) => {
    total++;
    const abort = new AbortController();
    open.set(socket, abort);
    socket.setNoDelay(true);
    socket.on("error", () => abort.abort(new Error("The host's side was reset")));
    socket.once("close", () => {
      abort.abort(new Error("The host's side is gone"));
      open.delete(socket);
    });
    serve(socket, options.dial, abort.signal);
  });
  const port = await listen(server, options);
  try {
    resetOnDeath(port);
  } catch {
    // No /proc, or another C library: a killed daemon's connections end in order then.
  }
  let closing: Promise<void> | undefined;
  const close = () =>
    closing ??= new Promise<void>((resolve) => {
      server.close(() => resolve());
      for (const [socket, abort] of open) {
        abort.abort(new Error("The forward was closed"));
        socket.resetAndDestroy();
      }
    });
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

function listen(server: net.Server, { bind, port }: TcpForwardOptions): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once("error", (cause: Error & { code?: string }) => {
      server.close();
      reject(listenError(bind, port, cause));
    });
    // exclusive: an ::1 listener must not take the IPv4 port of the same number with it.
    server.listen({ host: bind, port, exclusive: true, backlog: 511 }, () => {
      resolve((server.address() as net.AddressInfo).port);
    });
  });
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

/** Never rejects: whatever goes wrong ends this connection and nothing else. */
async function serve(
  socket: net.Socket,
  dial: TcpForwardOptions["dial"],
  signal: AbortSignal,
): Promise<void> {
  let stream: Duplex;
  try {
    stream = await dial(signal);
  } catch {
    socket.resetAndDestroy();
    return;
  }
  if (signal.aborted) {
    stream.abort(signal.reason);
    return;
  }
  const onAbort = () => stream.abort(signal.reason);
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    await Promise.all([toGuest(socket, stream), toHost(stream, socket, signal)]);
    // Both directions ended in order. The last FIN may not be acknowledged yet; close() waits for it.
    signal.removeEventListener("abort", onAbort);
    socket.destroySoon();
  } catch (error) {
    signal.removeEventListener("abort", onAbort);
    stream.abort(error);
    socket.resetAndDestroy();
  }
}

async function toGuest(socket: net.Socket, stream: Duplex): Promise<void> {
  const writer = stream.writable.getWriter();
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  let last: Promise<void> = Promise.resolve();
  socket.on("data", (chunk: Uint8Array) => {
    socket.pause();
    last = writer.write(chunk).then(() => {
      socket.resume();
    });
    last.catch(reject);
  });
  socket.once("end", () => {
    last.then(() => writer.close()).then(resolve, reject);
  });
  socket.once("close", (hadError: boolean) => {
    if (hadError) reject(new Error("The host's side was reset"));
  });
  writer.closed.catch(reject);
  socket.resume();
  await promise;
}

async function toHost(stream: Duplex, socket: net.Socket, signal: AbortSignal): Promise<void> {
  const { localPort, remotePort } = socket;
  let written: Promise<unknown> | undefined;
  for await (const chunk of stream.readable) {
    const { promise, resolve } = Promise.withResolvers<unknown>();
    written = promise;
    if (!socket.write(chunk, resolve)) await drained(socket, signal);
  }
  // The last byte is the kernel's: from here on an end is an end, whoever dies.
  await written;
  endsInOrder(localPort!, remotePort!);
  await new Promise<void>((resolve) => socket.end(() => resolve()));
}

function drained(socket: net.Socket, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const onAbort = () => reject(signal.reason);
    if (signal.aborted) return onAbort();
    signal.addEventListener("abort", onAbort, { once: true });
    socket.once("drain", () => {
      signal.removeEventListener("abort", onAbort);
      resolve();
    });
  });
}
