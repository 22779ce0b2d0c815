/**
 * How deep JSON text nests, found by one pass over its bytes. `JSON.parse` of 16 MB of `[[[[` blocks
 * the process for seconds and takes half a gigabyte before it fails, so depth is looked at first.
 *
 * Works on UTF-8 bytes: brackets, quotes and backslashes are single bytes which never occur inside
 * a multi-byte character. Text that is not JSON gets some answer; the parser refuses it afterwards.
 */
const QUOTE = 0x22;
const BACKSLASH = 0x5c;

/** True as soon as brackets nest deeper than `max`. */
export function nestsDeeperThan(bytes: Uint8Array, max: number): boolean {
  let depth = 0;
  for (let i = 0; i < bytes.length; i++) {
    switch (bytes[i]) {
      case QUOTE:
        i = endOfString(bytes, i + 1);
        break;
      case 0x5b: // [
      case 0x7b: // {
        if (++depth > max) return true;
        break;
      case 0x5d: // ]
      case 0x7d: // }
        depth--;
    }
  }
  return false;
}

/** Index of the closing quote, or the end of the bytes. `indexOf` runs at memory speed. */
function endOfString(bytes: Uint8Array, from: number): number {
  for (let at = from;;) {
    const quote = bytes.indexOf(QUOTE, at);
    if (quote === -1) return bytes.length;
    let slashes = 0;
    while (quote - 1 - slashes >= from && bytes[quote - 1 - slashes] === BACKSLASH) slashes++;
    if (slashes % 2 === 0) return quote;
    at = quote + 1;
  }
}
