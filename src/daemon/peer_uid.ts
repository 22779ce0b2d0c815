/**
 * Who is at the other end of a connection, asked of the kernel (SO_PEERCRED) before a byte is read.
 *
 * Deno hides a connection's file descriptor, so the new one is found among `/proc/self/fd`: a Unix
 * socket whose own address is the one that we bound and whose cookie (unique in the kernel's life)
 * was not seen before. That is unambiguous because connections are accepted one at a time and each
 * is looked at before the next accept.
 */
import { libc } from "../../ffi/libc.ts";

const SOL_SOCKET = 1;
const SO_PEERCRED = 17;
const SO_ACCEPTCONN = 30;
const SO_COOKIE = 57;
const AF_UNIX = 1;

export interface Newcomer {
  readonly uid: number;
  readonly pid: number;
  /** To be called when the connection is closed. */
  forget(): void;
}

export class PeerUids {
  readonly #boundPath: string;
  readonly #seen = new Set<bigint>();

  /** `boundPath` is the name that was bound, whatever the socket was renamed to. */
  constructor(boundPath: string) {
    this.#boundPath = boundPath;
  }

  /**
   * The connection that was just accepted; undefined when it is closed already. Should more than
   * one be new, the answer is the most foreign one.
   */
  newcomer(ownUid: number): Newcomer | undefined {
    let found: { uid: number; pid: number; cookie: bigint } | undefined;
    for (const entry of Deno.readDirSync("/proc/self/fd")) {
      const fd = Number(entry.name);
      if (!this.#isOurs(fd)) continue;
      const cookie = cookieOf(fd);
      if (cookie === undefined || this.#seen.has(cookie)) continue;
      const peer = peerOf(fd);
      if (peer === undefined) continue;
      this.#seen.add(cookie);
      if (found === undefined || found.uid === ownUid) found = { ...peer, cookie };
    }
    if (found === undefined) return undefined;
    const { uid, pid, cookie } = found;
    return { uid, pid, forget: () => void this.#seen.delete(cookie) };
  }

  #isOurs(fd: number): boolean {
    const address = new Uint8Array(110);
    const length = new Uint32Array([address.length]);
    if (libc("getsockname")(fd, address, length) !== 0) return false;
    if (new DataView(address.buffer).getUint16(0, true) !== AF_UNIX) return false;
    const end = address.indexOf(0, 2);
    const path = new TextDecoder().decode(address.subarray(2, end === -1 ? undefined : end));
    if (path !== this.#boundPath) return false;
    const listening = intOption(fd, SO_ACCEPTCONN);
    return listening === 0;
  }
}

function option(fd: number, name: number, room: Uint8Array<ArrayBuffer>): boolean {
  const length = new Uint32Array([room.length]);
  return libc("getsockopt")(fd, SOL_SOCKET, name, room, length) === 0;
}

function intOption(fd: number, name: number): number | undefined {
  const room = new Uint8Array(4);
  return option(fd, name, room) ? new DataView(room.buffer).getInt32(0, true) : undefined;
}

function cookieOf(fd: number): bigint | undefined {
  const room = new Uint8Array(8);
  return option(fd, SO_COOKIE, room) ? new DataView(room.buffer).getBigUint64(0, true) : undefined;
}

/** `struct ucred { pid_t pid; uid_t uid; gid_t gid; }` */
function peerOf(fd: number): { uid: number; pid: number } | undefined {
  const room = new Uint8Array(12);
  if (!option(fd, SO_PEERCRED, room)) return undefined;
  const view = new DataView(room.buffer);
  return { pid: view.getInt32(0, true), uid: view.getUint32(4, true) };
}

/** Our own user and root, who could read the token anyway. */
export function mayConnect(peerUid: number, ownUid: number): boolean {
  return peerUid === ownUid || peerUid === 0;
}
