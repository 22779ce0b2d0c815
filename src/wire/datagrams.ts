/**
 * Datagrams over a byte stream, so that a UDP flow can be one stream of the mux: a 16-bit big-endian
 * length, then the bytes. Empty datagrams are datagrams too.
 */
export const MAX_DATAGRAM = 65535;

export function encodeDatagram(bytes: Uint8Array): Uint8Array {
  if (bytes.length > MAX_DATAGRAM) {
    throw new RangeError(`A datagram has ${bytes.length} bytes, wanted ≤ ${MAX_DATAGRAM}`);
  }
  const frame = new Uint8Array(2 + bytes.length);
  frame[0] = bytes.length >> 8;
  frame[1] = bytes.length & 0xff;
  frame.set(bytes, 2);
  return frame;
}

/** Ends with the stream; an end inside a datagram drops that one, as a network would. */
export async function* decodeDatagrams(
  stream: AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array, void, void> {
  let rest: Uint8Array = new Uint8Array(0);
  for await (const chunk of stream) {
    rest = rest.length === 0 ? chunk : concat(rest, chunk);
    let at = 0;
    while (rest.length - at >= 2) {
      const length = (rest[at] << 8) | rest[at + 1];
      if (rest.length - at < 2 + length) break;
      yield rest.subarray(at + 2, at + 2 + length);
      at += 2 + length;
    }
    rest = rest.subarray(at);
  }
}

function concat(a: Uint8Array, b: Uint8Array): Uint8Array {
  const both = new Uint8Array(a.length + b.length);
  both.set(a);
  both.set(b, a.length);
  return both;
}
