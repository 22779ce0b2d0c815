/**
 * The agent's virtio-serial port by the Unix socket that QEMU listens on. QEMU takes one client at
 * a time; a second one connects and hears nothing until the first has gone, which a wait that runs
 * out says as "no agent answered yet".
 */
import { connCarrier } from "../wire/mux_conn.ts";
import { type GuestLink, reconnectingLink } from "./link_reconnect.ts";

/** @param socketPath `MachinePaths.agentSocket` */
export function virtioLink(socketPath: string): GuestLink {
  return reconnectingLink({
    transport: "virtio-serial",
    dial: async () => {
      try {
        return connCarrier(await Deno.connect({ transport: "unix", path: socketPath }));
      } catch (cause) {
        throw new Error(`the agent's socket "${socketPath}" does not answer: ${reason(cause)}`, {
          cause,
        });
      }
    },
  });
}

function reason(error: unknown): string {
  if (error instanceof Deno.errors.NotFound) return "it is not there";
  if (error instanceof Deno.errors.ConnectionRefused) return "nobody listens on it";
  return error instanceof Error ? error.message : String(error);
}
