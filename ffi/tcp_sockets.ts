/**
 * What Deno's TCP sockets do not offer: to end a connection with a reset, at once or whenever its
 * process dies. Deno hides the descriptors; they are found among /proc/self/fd by their addresses
 * (0.1 ms with a hundred open).
 */
import { libc } from "./libc.ts";

const SOL_SOCKET = 1;
const SO_LINGER = 13;
const AF_UNSPEC = 0;
const AF_INET = 2;
const AF_INET6 = 10;
const SOCKADDR_BYTES = 16;

export interface TcpEnd {
  readonly hostname: string;
  readonly port: number;
}

/**
 * SO_LINGER with a time of zero makes every close a reset, that of a killed process included. Linux
 * hands it from a listener down to what it accepts from now on.
 */
export function lingerOfListeners(port: number, on: boolean): void {
  for (const fd of descriptors()) {
    if (endOf("getsockname", fd)?.port !== port) continue;
    if (endOf("getpeername", fd) === undefined) linger(fd, on);
  }
}

/**
 * Another connection with the same two ports on other addresses is found too: it would end in that
 * other way and lose nothing else.
 */
export function lingerOfConnections(localPort: number, remotePort: number, on: boolean): void {
  for (const fd of descriptors()) {
    if (endOf("getpeername", fd)?.port !== remotePort) continue;
    if (endOf("getsockname", fd)?.port === localPort) linger(fd, on);
  }
}

/** How a connection ends: in order, or by a reset. Only the first call counts. */
export function endingOf(conn: Deno.TcpConn): { close(): void; reset(): void } {
  let open = true;
  const close = () => {
    if (open) conn.close();
    open = false;
  };
  return {
    close,
    reset() {
      try {
        if (open) resetConnection(conn.localAddr, conn.remoteAddr);
      } catch {
        // No /proc, or another C library: it ends in order then.
      }
      close();
    },
  };
}

/**
 * A reset, now; the socket is still its owner's to close. Not by SO_LINGER: closing a `Deno.TcpConn`
 * shuts its sending half down first, and the peer reads that as an end in order.
 */
export function resetConnection(local: TcpEnd, remote: TcpEnd): void {
  // connect(2) to no address dissolves the association; for TCP that is a reset.
  const nowhere = new Uint8Array(SOCKADDR_BYTES);
  new DataView(nowhere.buffer).setUint16(0, AF_UNSPEC, true);
  for (const fd of descriptors()) {
    if (!same(endOf("getpeername", fd), remote)) continue;
    if (same(endOf("getsockname", fd), local)) libc("connect")(fd, nowhere, nowhere.length);
  }
}

function descriptors(): number[] {
  return [...Deno.readDirSync("/proc/self/fd")].map((entry) => Number(entry.name));
}

/** Undefined when that is no IP socket, or has no such end. */
function endOf(call: "getsockname" | "getpeername", fd: number): TcpEnd | undefined {
  const address = new Uint8Array(28);
  if (libc(call)(fd, address, new Uint32Array([address.length])) !== 0) return undefined;
  const view = new DataView(address.buffer);
  const port = view.getUint16(2);
  switch (view.getUint16(0, true)) {
    case AF_INET:
      return { hostname: address.slice(4, 8).join("."), port };
    case AF_INET6: {
      const groups = Array.from({ length: 8 }, (_, n) => view.getUint16(8 + 2 * n).toString(16));
      return { hostname: groups.join(":"), port };
    }
    default:
      return undefined;
  }
}

function same(end: TcpEnd | undefined, other: TcpEnd): boolean {
  return end?.port === other.port && canonical(end.hostname) === canonical(other.hostname);
}

/** An IPv6 address has many spellings, and a URL one of them. */
function canonical(hostname: string): string {
  return hostname.includes(":") ? new URL(`http://[${hostname}]`).hostname : hostname;
}

/** `struct linger { int l_onoff; int l_linger; }`. It may be closed by now. */
function linger(fd: number, on: boolean): void {
  const value = new Uint8Array(new Int32Array([on ? 1 : 0, 0]).buffer);
  libc("setsockopt")(fd, SOL_SOCKET, SO_LINGER, value, value.length);
}
