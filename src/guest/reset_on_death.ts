/**
 * A forward's connections end with a reset when this process is killed. The kernel ends the sockets of
 * a dead process in order otherwise, and a client that is told FIN in the middle of a download
 * takes half of it for the whole.
 *
 * SO_LINGER with a time of zero makes every close a reset. Linux hands it from a listener down to
 * what it accepts, so it is set once; it is taken off a connection when the guest's last byte was
 * given to the kernel, because a later close must not throw away what the client has not read yet.
 *
 * Deno hides the descriptors; they are found among /proc/self/fd by their ports (0.1 ms with a
 * hundred open). Another connection with the same two ports on another address would be found too:
 * it would lose the reset and nothing else.
 */
import { libc } from "../../ffi/libc.ts";

const SOL_SOCKET = 1;
const SO_LINGER = 13;
const AF_INET = 2;
const AF_INET6 = 10;

/** Of the listeners on this port, and of all that they accept from now on. */
export function resetOnDeath(port: number): void {
  for (const fd of descriptors()) {
    if (portOf("getsockname", fd) !== port) continue;
    if (portOf("getpeername", fd) === undefined) linger(fd, true);
  }
}

/** This one may end in order again. */
export function endsInOrder(localPort: number, remotePort: number): void {
  for (const fd of descriptors()) {
    if (portOf("getpeername", fd) !== remotePort) continue;
    if (portOf("getsockname", fd) === localPort) linger(fd, false);
  }
}

function descriptors(): number[] {
  return [...Deno.readDirSync("/proc/self/fd")].map((entry) => Number(entry.name));
}

/** Undefined when that is no IP socket, or has no such end. */
function portOf(call: "getsockname" | "getpeername", fd: number): number | undefined {
  const address = new Uint8Array(28);
  if (libc(call)(fd, address, new Uint32Array([address.length])) !== 0) return undefined;
  const view = new DataView(address.buffer);
  const family = view.getUint16(0, true);
  return family === AF_INET || family === AF_INET6 ? view.getUint16(2) : undefined;
}

/** `struct linger { int l_onoff; int l_linger; }`. It may be closed by now. */
function linger(fd: number, on: boolean): void {
  const value = new Uint8Array(new Int32Array([on ? 1 : 0, 0]).buffer);
  libc("setsockopt")(fd, SOL_SOCKET, SO_LINGER, value, value.length);
}
