/**
 * dial: one TCP connection inside the guest, spliced with the call's stream. Half-close passes both
 * ways, a reset on either side becomes a reset on the other (which needs node's socket: a Deno
 * connection can only be closed politely), and a slow reader slows its own connection only.
 */
import { connect, type Socket } from "node:net";
import { RumError } from "../../src/base/errors.ts";
import { dialParams } from "../../src/protocol/agent.ts";
import type { Call } from "../call.ts";

const CONNECT_MS = 10_000;

export async function dial(call: Call): Promise<void> {
  const params = call.params(dialParams);
  const socket = await connectFirst(
    params.host === undefined ? ["127.0.0.1", "::1"] : [params.host],
    params.port,
    call.signal,
  );
  const onAbort = () => socket.resetAndDestroy();
  call.signal.addEventListener("abort", onAbort, { once: true });
  try {
    const { readable, writer } = await call.switchToRaw({});
    await Promise.all([toSocket(readable, socket), fromSocket(socket, writer)]);
    socket.destroy();
  } catch (error) {
    socket.resetAndDestroy();
    throw error;
  } finally {
    call.signal.removeEventListener("abort", onAbort);
  }
}

async function connectFirst(
  hosts: readonly string[],
  port: number,
  signal: AbortSignal,
): Promise<Socket> {
  let last: unknown;
  for (const host of hosts) {
    try {
      return await connectTo(host, port, signal);
    } catch (error) {
      last = error;
    }
  }
  const reason = last instanceof Error ? last.message : String(last);
  throw new RumError("agent_error", `Cannot connect to port ${port} in the guest: ${reason}`, {
    data: { reason: "refused", port },
  });
}

function connectTo(host: string, port: number, signal: AbortSignal): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port, allowHalfOpen: true, noDelay: true });
    const settle = (error?: unknown) => {
      clearTimeout(timer);
      signal.removeEventListener("abort", onAbort);
      socket.off("connect", onConnect);
      socket.off("error", settle);
      if (error === undefined) return resolve(socket);
      socket.on("error", () => {});
      socket.destroy();
      reject(error);
    };
    const onConnect = () => settle();
    const onAbort = () => settle(signal.reason);
    const timer = setTimeout(
      () => settle(new Error(`no answer within ${CONNECT_MS / 1000} s`)),
      CONNECT_MS,
    );
    signal.addEventListener("abort", onAbort, { once: true });
    socket.once("connect", onConnect);
    socket.once("error", settle);
  });
}

async function toSocket(readable: ReadableStream<Uint8Array>, socket: Socket): Promise<void> {
  for await (const chunk of readable) {
    await new Promise<void>((resolve, reject) => {
      socket.write(chunk, (error) => error ? reject(error) : resolve());
    });
  }
  await new Promise<void>((resolve) => socket.end(() => resolve()));
}

async function fromSocket(
  socket: Socket,
  writer: WritableStreamDefaultWriter<Uint8Array>,
): Promise<void> {
  for await (const chunk of socket.iterator({ destroyOnReturn: false })) {
    await writer.write(chunk);
  }
  await writer.close();
}
