/**
 * A forward's connections end with a reset when this process is killed. The kernel ends the sockets of
 * a dead process in order otherwise, and a client that is told FIN in the middle of a download
 * takes half of it for the whole.
 *
 * Set once, on the listener; taken off a connection when the guest's last byte was given to the
 * kernel, because a later close must not throw away what the client has not read yet.
 */
import { lingerOfConnections, lingerOfListeners } from "../../ffi/tcp_sockets.ts";

/** Of the listeners on this port, and of all that they accept from now on. */
export function resetOnDeath(port: number): void {
  lingerOfListeners(port, true);
}

/** This one may end in order again. */
export function endsInOrder(localPort: number, remotePort: number): void {
  lingerOfConnections(localPort, remotePort, false);
}
