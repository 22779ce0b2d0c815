/**
 * dial_udp: one UDP flow inside the guest. After the answer the stream carries datagrams, each with
 * its length before it. The host ends flows that have been silent; a port that nobody listens on
 * answers nothing, as UDP does.
 */
import type { Socket } from "node:dgram";
import { RumError } from "../../src/base/errors.ts";
import { dialParams } from "../../src/protocol/agent.ts";
import { decodeDatagrams, encodeDatagram } from "../../src/wire/datagrams.ts";
import type { Call } from "../call.ts";
import { readText } from "../facts.ts";

/** Answers that wait for the host; more are dropped. */
const MAX_WAITING = 64;

export async function dialUdp(call: Call): Promise<void> {
  const { port, host } = call.params(dialParams);
  const socket = await connected(port, host ?? await loopbackOf(port));
  try {
    await carry(call, socket);
  } finally {
    socket.close();
  }
}

async function carry(call: Call, socket: Socket): Promise<void> {
  // A refusal by ICMP is news for one datagram, not the end of the flow.
  socket.on("error", () => {});
  const { readable, writer } = await call.switchToRaw({});
  let waiting = 0;
  socket.on("message", (bytes) => {
    if (waiting >= MAX_WAITING) return;
    waiting++;
    writer.write(encodeDatagram(bytes)).then(() => waiting--, () => {});
  });
  try {
    for await (const bytes of decodeDatagrams(readable)) socket.send(bytes, () => {});
  } finally {
    await writer.close().catch(() => {});
  }
}

async function connected(port: number, host: string): Promise<Socket> {
  // Here, as few guests ever need it.
  const { createSocket } = await import("node:dgram");
  return await new Promise((resolve, reject) => {
    const socket = createSocket(host.includes(":") ? "udp6" : "udp4");
    const onError = (cause: unknown) => {
      socket.close();
      reject(
        new RumError("agent_error", `Cannot reach UDP port ${port} in the guest`, {
          cause,
          data: { reason: "refused", port },
        }),
      );
    };
    socket.once("error", onError);
    socket.connect(port, host, () => {
      socket.off("error", onError);
      resolve(socket);
    });
  });
}

/** `::1` only where something listens there and nothing on IPv4. */
async function loopbackOf(port: number): Promise<string> {
  const hex = `:${port.toString(16).toUpperCase().padStart(4, "0")}`;
  const bound = (table: string) =>
    table.split("\n").slice(1).some((line) => line.trim().split(/\s+/)[1]?.endsWith(hex));
  const [v4, v6] = await Promise.all([readText("/proc/net/udp"), readText("/proc/net/udp6")]);
  return !bound(v4) && bound(v6) ? "::1" : "127.0.0.1";
}
