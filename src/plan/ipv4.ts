/** IPv4 addresses and prefixes as numbers: what choosing a subnet and checking a reservation need. */

/** `10.1.2.3` → its 32 bits; undefined when it is not an address. */
export function parseIpv4(text: string): number | undefined {
  const match = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(text);
  if (match === null) return undefined;
  let bits = 0;
  for (const part of match.slice(1)) {
    const octet = Number(part);
    if (octet > 255 || (part.length > 1 && part.startsWith("0"))) return undefined;
    bits = bits * 256 + octet;
  }
  return bits;
}

export function formatIpv4(bits: number): string {
  return [24, 16, 8, 0].map((shift) => (bits >>> shift) & 255).join(".");
}

export interface Prefix {
  readonly from: number;
  readonly to: number;
}

/** `10.0.0.0/8` → its first and last address; undefined when it is not a prefix. */
export function parsePrefix(text: string): Prefix | undefined {
  const slash = text.indexOf("/");
  const address = parseIpv4(slash < 0 ? text : text.slice(0, slash));
  const bits = slash < 0 ? 32 : Number(text.slice(slash + 1));
  if (address === undefined || !Number.isInteger(bits) || bits < 0 || bits > 32) return undefined;
  const size = 2 ** (32 - bits);
  const from = Math.floor(address / size) * size;
  return { from, to: from + size - 1 };
}

export function formatPrefix({ from, to }: Prefix): string {
  return `${formatIpv4(from)}/${32 - Math.log2(to - from + 1)}`;
}

export function prefixesOverlap(a: Prefix, b: Prefix): boolean {
  return a.from <= b.to && b.from <= a.to;
}
