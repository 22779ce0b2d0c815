/**
 * The agent by vsock: a connection of its own, with the same mux on it, so that everything above
 * behaves the same on every transport.
 */
import { connCarrier } from "../wire/mux_conn.ts";
import { VSOCK_REFUSED, vsockAllowed } from "../wire/mux_vsock.ts";
import { type GuestLink, reconnectingLink } from "./link_reconnect.ts";

export interface VsockAddress {
  /** Asked at each dial: libvirt picks it when the machine starts. */
  readonly cid: () => Promise<number>;
  readonly port: number;
}

export function vsockLink({ cid: cidNow, port }: VsockAddress): GuestLink {
  return reconnectingLink({
    transport: "vsock",
    dial: async () => {
      const cid = await cidNow();
      if (!vsockAllowed()) throw new Error(`vsock cannot be used: ${VSOCK_REFUSED}`);
      try {
        return connCarrier(await Deno.connect({ transport: "vsock", cid, port }));
      } catch (cause) {
        const why = cause instanceof Error ? cause.message : String(cause);
        throw new Error(`vsock CID ${cid} port ${port} does not answer: ${why}`, { cause });
      }
    },
  });
}
