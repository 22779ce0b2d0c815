/**
 * The guest's side of the virtio-serial port: one host connection after the other, and on each one
 * session after the other, for as long as the agent lives. Between them nothing runs: the next
 * carrier's first write waits in the kernel for a host.
 */
import { muxOver } from "../src/wire/mux.ts";
import type { Mux } from "../src/wire/mux_types.ts";
import { VirtioPort } from "./virtio_port.ts";

/** By this name the host's XML calls the port. */
export const PORT_PATH = "/dev/virtio-ports/org.rum.agent.0";

export interface PortLinkOptions {
  readonly path: string;
  readonly serve: (mux: Mux) => void;
  readonly log: (line: string) => void;
  readonly signal: AbortSignal;
}

/** Serves until the signal. A carrier that is waiting for a host then ends with the process. */
export async function servePort(options: PortLinkOptions): Promise<void> {
  const { signal } = options;
  using port = VirtioPort.open(options.path);
  while (!signal.aborted) {
    const carrier = muxOver(await port.connect(), { role: "guest" });
    const stop = () => carrier.close();
    signal.addEventListener("abort", stop, { once: true });
    try {
      for (;;) options.serve(await carrier.next());
    } catch (error) {
      options.log(`port: ${error instanceof Error ? error.message : error}`);
    } finally {
      signal.removeEventListener("abort", stop);
    }
  }
}
