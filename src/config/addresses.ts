/** IP addresses as rum.toml needs them: exact syntax, loopback or not, which overlap as a bind. */

export function isAddress(text: string): boolean {
  return isIPv4(text) || isIPv6(text);
}

const IPV4 = /^(?:(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)(?:\.(?!$)|$)){4}$/;

/** As `node:net` says it, which takes a quarter of a command's start to load. */
function isIPv4(text: string): boolean {
  return IPV4.test(text);
}

/** The URL parser's word for it; a zone (`fe80::1%eth0`) is beside the address. */
function isIPv6(text: string): boolean {
  const [address, zone] = text.split(/%(.*)/s);
  return /^[\da-f:.]+$/i.test(address) && (zone === undefined || /^[\w.-]+$/.test(zone)) &&
    URL.canParse(`http://[${address}]/`);
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
  if (!isIPv6(address) || address.includes("%")) return address;
  return new URL(`http://[${address}]/`).hostname.slice(1, -1);
}
