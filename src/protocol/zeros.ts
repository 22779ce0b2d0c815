/**
 * Sparse files keep their holes on the way: a block of zeros is announced, not sent, and the
 * receiver seeks over it. Looked at in whole blocks, because a hole is never smaller than one.
 */
const BLOCK = 4096;

/** Cuts a chunk into runs that are either all zero (whole blocks) or not. */
export function* zeroRuns(
  chunk: Uint8Array,
): Generator<{ readonly zeros: boolean; readonly bytes: Uint8Array }> {
  let from = 0;
  let kind: boolean | undefined;
  for (let at = 0; at < chunk.length; at += BLOCK) {
    const block = chunk.subarray(at, at + BLOCK);
    const zeros = block.length === BLOCK && isZero(block);
    if (kind !== undefined && zeros !== kind) {
      yield { zeros: kind, bytes: chunk.subarray(from, at) };
      from = at;
    }
    kind = zeros;
  }
  if (kind !== undefined) yield { zeros: kind, bytes: chunk.subarray(from) };
}

function isZero(block: Uint8Array): boolean {
  // The first byte differs nearly always; words only for what may really be a hole.
  if (block[0] !== 0) return false;
  if (block.byteOffset % 8 !== 0) return block.every((byte) => byte === 0);
  const words = new BigUint64Array(block.buffer, block.byteOffset, block.length / 8);
  return words.every((word) => word === 0n);
}
