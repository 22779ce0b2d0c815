/** IP addresses as rum.toml needs them: exact syntax, loopback or not, which overlap as a bind. */
import { isIP, isIPv4 } from "node:net";

export function isAddress(text: string): boolean {
  return isIP(text) !== 0;
}

/** Reachable from this host only; anything else is a door to others (SPEC section 11). */
export function isLoopback(address: string): boolean {
  if (isIPv4(address)) return address.startsWith("127.");
  return canonicalIPv6(address) === "::1";
}

/** Whether listening on both at one port fails. `::` takes IPv4 too on Linux. */
export function bindsOverlap(a: string, b: string): boolean {
  const [x, y] = [canonical(a), canonical(b)];
  if (x === y || x === "::" || y === "::") return true;
  return (x === "0.0.0.0" && isIPv4(y)) || (y === "0.0.0.0" && isIPv4(x));
}

/** An address that one machine on a network can have: not zero, broadcast, loopback, multicast. */
export function isUnicastIPv4(text: string): boolean {
  if (!isIPv4(text)) return false;
  const first = Number(text.split(".")[0]);
  return first > 0 && first !== 127 && first < 224;
}

function canonical(address: string): string {
  return isIPv4(address) ? address : canonicalIPv6(address);
}

/** `0:0::1` and `::1` are one address; the URL parser knows the short form. */
function canonicalIPv6(address: string): string {
  if (isIP(address) !== 6 || address.includes("%")) return address;
  return new URL(`http://[${address}]/`).hostname.slice(1, -1);
}
