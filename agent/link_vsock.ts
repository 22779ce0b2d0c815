/**
 * The guest's listener on vsock, where the host has it. Only the host may connect (CID 2): any
 * program in this guest could connect over the loopback, and other machines of some hypervisors
 * too. Who the host process is, is proved by the token, as on every link.
 */
import { connCarrier } from "../src/wire/mux_conn.ts";
import { createMux } from "../src/wire/mux.ts";
import { VSOCK_REFUSED, vsockAllowed } from "../src/wire/mux_vsock.ts";
import type { Mux } from "../src/wire/mux_types.ts";

export const HOST_CID = 2;
/** Stands for every CID of this machine. */
const CID_ANY = 0xffffffff;
/** The host needs one, and one more while it replaces a dead one. */
const MAX_CONNECTIONS = 8;

export interface VsockLinkOptions {
  readonly port: number;
  /** Who may connect; tests over the loopback say 1. */
  readonly acceptCid?: number;
  /** Gets each session; not waited for. */
  readonly serve: (mux: Mux) => void;
  readonly log: (line: string) => void;
  readonly signal: AbortSignal;
}

/**
 * Accepts until the signal; resolves once listener and connections are closed.
 *
 * @throws {Error} when vsock cannot be used here
 */
export async function listenVsock(options: VsockLinkOptions): Promise<void> {
  const { signal } = options;
  if (!vsockAllowed()) throw new Error(`Cannot listen on vsock: ${VSOCK_REFUSED}`);
  const allowed = options.acceptCid ?? HOST_CID;
  const listener = Deno.listen({ transport: "vsock", cid: CID_ANY, port: options.port });
  const live = new Set<Mux>();
  const stop = () => listener.close();
  signal.addEventListener("abort", stop, { once: true });
  if (signal.aborted) stop();
  while (!signal.aborted) {
    let conn: Deno.VsockConn;
    try {
      conn = await listener.accept();
    } catch (error) {
      // A peer that went away between connect and accept is its own trouble.
      if (!signal.aborted) options.log(`vsock: accept failed: ${error}`);
      continue;
    }
    const { cid } = conn.remoteAddr;
    if (cid !== allowed || live.size >= MAX_CONNECTIONS) {
      options.log(`vsock: refused a connection from CID ${cid}, ${live.size} are open`);
      conn.close();
      continue;
    }
    const mux = createMux(connCarrier(conn), { role: "guest" });
    live.add(mux);
    mux.closed.then(() => live.delete(mux));
    options.serve(mux);
  }
  for (const mux of live) mux.close();
}
