/**
 * The guest's side of the virtio-serial port: one host connection after the other, and on each one
 * session after the other, for as long as the agent lives. Between them nothing runs: the next
 * carrier's first write waits in the kernel for a host.
 */
import { systemClock } from "../src/base/clock.ts";
import { muxOver } from "../src/wire/mux.ts";
import type { Mux } from "../src/wire/mux_types.ts";
import { VirtioPort } from "./virtio_port.ts";

/** By this name the host's XML calls the port. */
export const PORT_PATH = "/dev/virtio-ports/org.rum.agent.0";

/** After a carrier without a session: a port that was unplugged must not be asked in a loop. */
const PAUSE_MS = 500;

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
    let sessions = 0;
    const stop = () => carrier.close();
    signal.addEventListener("abort", stop, { once: true });
    try {
      for (;; sessions++) options.serve(await carrier.next());
    } catch (error) {
      options.log(`port: ${error instanceof Error ? error.message : error}`);
    } finally {
      signal.removeEventListener("abort", stop);
    }
    if (sessions === 0) await systemClock.sleep(PAUSE_MS, { signal }).catch(() => {});
  }
}
