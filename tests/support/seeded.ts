/** Random but repeatable: everything the soak does is drawn from one printed number. */

export interface Random {
  /** From 0 up to, not including, `below`. */
  int(below: number): number;
  pick<T>(from: readonly T[]): T;
  /** Between the two, small ones as often as large ones. */
  size(least: number, most: number): number;
  bytes(length: number): Uint8Array;
  /** A stream of its own, so that one worker's pace does not change what another draws. */
  fork(): Random;
}

/** mulberry32: 32 bits of state are plenty for choosing what to do next. */
export function seeded(seed: number): Random {
  let state = seed >>> 0;
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let x = Math.imul(state ^ (state >>> 15), 1 | state);
    x = (x + Math.imul(x ^ (x >>> 7), 61 | x)) ^ x;
    return (x ^ (x >>> 14)) >>> 0;
  };
  const self: Random = {
    int: (below) => Math.floor((next() / 2 ** 32) * below),
    pick: (from) => from[self.int(from.length)],
    size: (least, most) => Math.round(least * (most / least) ** (next() / 2 ** 32)),
    bytes(length) {
      const bytes = new Uint8Array(length);
      for (let at = 0; at < length; at++) bytes[at] = next();
      return bytes;
    },
    fork: () => seeded(next()),
  };
  return self;
}
