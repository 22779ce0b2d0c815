/**
 * What the mux puts on the wire, byte for byte. Two things only:
 *
 *   SYNC   40 bytes: 16 magic, version, role, window in KiB (u16), own epoch (u64), the peer's epoch
 *          as known, 0 when unknown (u64), checksum (u32)
 *   frame  20 header bytes, then `value` payload bytes and one 0x00 where the kind has a payload:
 *          'r' 'm', kind, flags, session tag (u32), stream (u32), value (u32), checksum (u24), 0x00
 *
 * Why so: a virtio-serial port has no connections, so bytes of a dead session may come first, and a
 * sender may die in the middle of a frame. The reader finds its feet again by the SYNC magic alone,
 * wherever it stands, and that is only sound because the magic occurs nowhere else: it holds no
 * 0x00, every header and every payload is followed by a 0x00, and a sender cuts a payload that
 * contains the magic into two frames in the middle of it (`cutBeforeMagic`). So a program in the
 * guest that prints a SYNC cannot end a session.
 *
 * All numbers are big-endian. The checksums catch lost bytes, not malice: who speaks here is proved
 * by the token in the agent's hello, above this layer.
 */
export const MUX_VERSION = 1;

/** First byte occurs once, and no byte is 0x00: both are relied upon. */
export const SYNC_MAGIC: Uint8Array<ArrayBuffer> = Uint8Array.of(
  ...[0xf7, 0x52, 0x55, 0x4d, 0x1e, 0x4d, 0x55, 0x58],
  ...[0xe3, 0x9b, 0xc5, 0xa9, 0xd1, 0x8d, 0xb7, 0xfd],
);
export const SYNC_BODY_BYTES = 24;
export const SYNC_BYTES = SYNC_MAGIC.length + SYNC_BODY_BYTES;
export const HEADER_BYTES = 20;
/** A header, a payload and its end mark take this much more than the payload. */
export const FRAME_OVERHEAD = HEADER_BYTES + 1;
/** The most that one frame may carry; checked before anything is allocated. */
export const MAX_PAYLOAD = 64 * 1024;
export const MAX_OPEN_HEADER = 60 * 1024;
export const MAX_RESET_TEXT = 256;

export type MuxRole = "host" | "guest";

export const KIND = {
  /** value = bytes of header; the sender opens a stream. */
  open: 1,
  /** value = bytes. */
  data: 2,
  /** The sender writes no more on this stream. */
  end: 3,
  /** value = bytes that the peer may send on top. */
  credit: 4,
  /** flags say which directions; value = bytes of reason text. */
  reset: 5,
  /** value = serial number, echoed by a pong; a pong answers all pings up to it. */
  ping: 6,
  pong: 7,
} as const;

export const RESET_SENDING = 1;
export const RESET_RECEIVING = 2;

export function hasPayload(kind: number): boolean {
  return kind === KIND.open || kind === KIND.data || kind === KIND.reset;
}

export interface FrameHeader {
  readonly kind: number;
  readonly flags: number;
  readonly tag: number;
  readonly stream: number;
  readonly value: number;
}

export interface Sync {
  readonly version: number;
  readonly role: MuxRole;
  /** Bytes that a new stream may send before the first credit. */
  readonly window: number;
  readonly epoch: bigint;
  /** The receiver's epoch as the sender knows it; 0 = not at all. */
  readonly seen: bigint;
}

function mix(a: number, b: number, c: number, d: number): number {
  let h = Math.imul(a ^ 0x9e3779b9, 0x85ebca6b);
  h = Math.imul((h ^ (h >>> 13)) + b, 0xc2b2ae35);
  h = Math.imul((h ^ (h >>> 15)) + c, 0x27d4eb2f);
  h = Math.imul((h ^ (h >>> 14)) + d, 0x165667b1);
  return (h ^ (h >>> 16)) >>> 0;
}

/** Which pair of sessions a frame belongs to; both sides compute the same. */
export function sessionTag(hostEpoch: bigint, guestEpoch: bigint): number {
  return mix(
    Number(hostEpoch >> 32n),
    Number(hostEpoch & 0xffffffffn),
    Number(guestEpoch >> 32n),
    Number(guestEpoch & 0xffffffffn),
  );
}

/** Never 0, which means "unknown" in a SYNC. */
export function randomEpoch(): bigint {
  return crypto.getRandomValues(new BigUint64Array(1))[0] | 1n;
}

function put32(to: Uint8Array, at: number, value: number): void {
  to[at] = value >>> 24;
  to[at + 1] = value >>> 16;
  to[at + 2] = value >>> 8;
  to[at + 3] = value;
}

export function get32(from: Uint8Array, at: number): number {
  return ((from[at] << 24) | (from[at + 1] << 16) | (from[at + 2] << 8) | from[at + 3]) >>> 0;
}

/** Writes a header at `at` and returns where the payload starts. */
export function putHeader(to: Uint8Array, at: number, header: FrameHeader): number {
  to[at] = 0x72;
  to[at + 1] = 0x6d;
  to[at + 2] = header.kind;
  to[at + 3] = header.flags;
  put32(to, at + 4, header.tag);
  put32(to, at + 8, header.stream);
  put32(to, at + 12, header.value);
  put32(to, at + 16, headerSum(to, at));
  return at + HEADER_BYTES;
}

/** 24 bits, moved up one byte so that the header's last byte is 0x00. */
function headerSum(from: Uint8Array, at: number): number {
  return (mix(get32(from, at), get32(from, at + 4), get32(from, at + 8), get32(from, at + 12)) <<
    8) >>> 0;
}

/** A frame's header, or undefined when these 20 bytes are none. */
export function readHeader(from: Uint8Array, at: number): FrameHeader | undefined {
  if (from[at] !== 0x72 || from[at + 1] !== 0x6d) return undefined;
  if (get32(from, at + 16) !== headerSum(from, at)) return undefined;
  return {
    kind: from[at + 2],
    flags: from[at + 3],
    tag: get32(from, at + 4),
    stream: get32(from, at + 8),
    value: get32(from, at + 12),
  };
}

export function putSync(to: Uint8Array, at: number, sync: Sync): number {
  to.set(SYNC_MAGIC, at);
  const body = at + SYNC_MAGIC.length;
  to[body] = sync.version;
  to[body + 1] = sync.role === "host" ? 1 : 2;
  const kib = sync.window / 1024;
  to[body + 2] = kib >>> 8;
  to[body + 3] = kib;
  put32(to, body + 4, Number(sync.epoch >> 32n));
  put32(to, body + 8, Number(sync.epoch & 0xffffffffn));
  put32(to, body + 12, Number(sync.seen >> 32n));
  put32(to, body + 16, Number(sync.seen & 0xffffffffn));
  put32(to, body + 20, syncSum(to, body));
  return at + SYNC_BYTES;
}

function syncSum(from: Uint8Array, at: number): number {
  const first = mix(get32(from, at), get32(from, at + 4), get32(from, at + 8), 0x53594e43);
  return mix(first, get32(from, at + 12), get32(from, at + 16), 0x72756d21);
}

/** The 24 bytes after the magic, or undefined when they are no SYNC. */
export function readSyncBody(from: Uint8Array, at: number): Sync | undefined {
  if (get32(from, at + 20) !== syncSum(from, at)) return undefined;
  const role = from[at + 1] === 1 ? "host" : from[at + 1] === 2 ? "guest" : undefined;
  if (role === undefined) return undefined;
  const long = (from32: number) =>
    (BigInt(get32(from, from32)) << 32n) | BigInt(get32(from, from32 + 4));
  return {
    version: from[at],
    role,
    window: ((from[at + 2] << 8) | from[at + 3]) * 1024,
    epoch: long(at + 4),
    seen: long(at + 12),
  };
}

// Horspool: the byte under the magic's last place says how far to move. One look in 16 bytes for
// nearly all data, which matters because both sides search everything, one of them emulated.
const SKIP = new Uint8Array(256).fill(SYNC_MAGIC.length);
for (let i = 0; i < SYNC_MAGIC.length - 1; i++) SKIP[SYNC_MAGIC[i]] = SYNC_MAGIC.length - 1 - i;

/** Where the magic starts within `bytes`, at or after `from`; -1 when it is not there in full. */
export function findMagic(bytes: Uint8Array, from = 0): number {
  const last = SYNC_MAGIC.length - 1;
  const end = bytes.length - SYNC_MAGIC.length;
  for (let at = from; at <= end; at += SKIP[bytes[at + last]]) {
    let same = 0;
    while (same <= last && bytes[at + same] === SYNC_MAGIC[same]) same++;
    if (same > last) return at;
  }
  return -1;
}

/** How many of the last bytes are the beginning of a magic (0 to 15). */
export function magicTail(bytes: Uint8Array): number {
  const first = Math.max(0, bytes.length - SYNC_MAGIC.length + 1);
  for (let at = first; at < bytes.length; at++) {
    if (bytes[at] !== SYNC_MAGIC[0]) continue;
    let same = 1;
    while (at + same < bytes.length && bytes[at + same] === SYNC_MAGIC[same]) same++;
    if (at + same === bytes.length) return same;
  }
  return 0;
}

/** How many of these bytes may go into one frame without showing the magic on the wire. */
export function cutBeforeMagic(bytes: Uint8Array): number {
  const at = findMagic(bytes);
  return at < 0 ? bytes.length : at + SYNC_MAGIC.length / 2;
}
