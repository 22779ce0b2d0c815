/**
 * The agent's virtio-serial port through libvirt (`virDomainOpenChannel`), for a hypervisor whose
 * socket this user cannot open: the system daemon, or one on another host. Who opens the channel is
 * handed in, so nothing here knows libvirt.
 */
import type { Duplex } from "../wire/duplex.ts";
import { type GuestLink, reconnectingLink } from "./link_reconnect.ts";

export function channelLink(open: (signal: AbortSignal) => Promise<Duplex>): GuestLink {
  return reconnectingLink({ transport: "virtio-serial (libvirt channel)", dial: open });
}
