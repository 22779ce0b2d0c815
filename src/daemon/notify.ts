/**
 * "Ready", told to a service manager: one datagram to the socket that NOTIFY_SOCKET names
 * (sd_notify). Deno's own datagram sockets are unstable, so it goes through the C library.
 */
import { libc } from "../../ffi/libc.ts";

const AF_UNIX = 1;
const SOCK_DGRAM = 2;
const SOCK_CLOEXEC = 0o2000000;

/** False when nobody wants to know or it could not be told; a daemon runs on either way. */
export function notifyReady(notifySocket: string | undefined): boolean {
  if (notifySocket === undefined || notifySocket === "") return false;
  try {
    const name = new TextEncoder().encode(notifySocket);
    if (name.length > 107) return false;
    // A leading @ stands for the NUL of an abstract name.
    if (name[0] === 0x40) name[0] = 0;
    const address = new Uint8Array(2 + name.length);
    new DataView(address.buffer).setUint16(0, AF_UNIX, true);
    address.set(name, 2);
    const fd = libc("socket")(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return false;
    const message = new TextEncoder().encode(`READY=1\nMAINPID=${Deno.pid}\n`);
    const sent = libc("sendto")(fd, message, BigInt(message.length), 0, address, address.length);
    libc("close")(fd);
    return Number(sent) === message.length;
  } catch {
    return false;
  }
}
