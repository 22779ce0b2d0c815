/**
 * Who a machine is, from the one thing that is stable about it: the canonical path of its
 * rum.toml. Nothing here is random, so a lost state file can be rebuilt, two runs agree without
 * talking to each other, and two same-named projects never share a domain or an address.
 */
import { sha1 } from "../base/sha1.ts";
import { sha256Hex } from "../base/sha256.ts";

export interface Identity {
  /** 8 hex digits. */
  readonly id: string;
  readonly uuid: string;
}

/** Namespace of rum's name-based UUIDs (RFC 9562 section 5.5); never changes once released. */
const NAMESPACE = "f2f0d3b6-6d1b-5c55-9a0c-72756d2d7631";

export function identityOf(canonicalConfigPath: string): Identity {
  const id = machineId(canonicalConfigPath);
  return { id, uuid: machineUuid(canonicalConfigPath, id) };
}

/** The one that `id` gets for this path: with the id in it where it is not the path's first. */
export function machineUuid(canonicalConfigPath: string, id: string): string {
  const first = id === machineId(canonicalConfigPath);
  return uuidOf(`machine:${canonicalConfigPath}${first ? "" : `\n${id}`}`);
}

/**
 * 8 hex of a hash of the canonical config path; checked against the recorded path by the store.
 * `n`: the next one, where a machine that was adopted elsewhere keeps those before.
 */
export function machineId(canonicalConfigPath: string, n = 0): string {
  return sha256Hex(n === 0 ? canonicalConfigPath : `${canonicalConfigPath}\n${n}`).slice(0, 8);
}

/** A version 5 UUID (SHA-1, name-based) in rum's own namespace. */
export function uuidOf(name: string): string {
  const hash = sha1(
    new Uint8Array([
      ...hexBytes(NAMESPACE.replaceAll("-", "")),
      ...new TextEncoder().encode(name),
    ]),
  );
  hash[6] = (hash[6] & 0x0f) | 0x50;
  hash[8] = (hash[8] & 0x3f) | 0x80;
  const hex = Array.from(hash.subarray(0, 16), (byte) => byte.toString(16).padStart(2, "0")).join(
    "",
  );
  return [
    hex.slice(0, 8),
    hex.slice(8, 12),
    hex.slice(12, 16),
    hex.slice(16, 20),
    hex.slice(20),
  ].join("-");
}

/**
 * In QEMU's own prefix, so that no real card is met. Three bytes of a hash over id and index: the
 * 16 million addresses of the prefix, and adding an interface never changes another's.
 */
export function macOf(id: string, index: number): string {
  const tail = sha256Hex(`mac:${id}:${index}`);
  return `52:54:00:${tail.slice(0, 2)}:${tail.slice(2, 4)}:${tail.slice(4, 6)}`;
}

/** libvirt's name for the machine. */
export function hypervisorName(name: string, id: string): string {
  return `rum-${name}-${id}`;
}

/** libvirt's name for a network of the machine; `nat` is the one towards the outside. */
export function networkName(id: string, network: string): string {
  return `rum-${id}-${network}`;
}

/** An interface name of the host: at most 15 bytes. */
export function bridgeName(id: string, index: number): string {
  return `rum${id}-${index}`;
}

/**
 * How the guest finds a drive whatever letter it gets: virtio-blk carries 20 bytes. Short names
 * stay readable; a longer one keeps its head and a hash, so that two never meet.
 */
export function driveSerial(name: string): string {
  const plain = `rum-${name}`;
  if (plain.length <= 20) return plain;
  return `rum-${name.slice(0, 7)}-${sha256Hex(`drive:${name}`).slice(0, 8)}`;
}

function hexBytes(hex: string): Uint8Array {
  return Uint8Array.from(hex.match(/../g) ?? [], (pair) => parseInt(pair, 16));
}
