/**
 * SHA-256 of short texts, and HMAC with it, without `node:crypto`: loading that costs every command
 * 20 ms, more than everything else that `rum status` does. Files are hashed by node:crypto and
 * WebCrypto, which are a hundred times faster; this is for names, tokens and nonces. (FIPS 180-4, RFC 2104)
 */
const ENCODER = new TextEncoder();
const BLOCK = 64;

export function sha256Hex(text: string): string {
  return hexOf(sha256(ENCODER.encode(text)));
}

/** Of a whole file's bytes: WebCrypto, as fast as `node:crypto` and nothing to load. */
export async function fileSha256(bytes: Uint8Array): Promise<string> {
  const digest = await crypto.subtle.digest("SHA-256", bytes as Uint8Array<ArrayBuffer>);
  return hexOf(new Uint8Array(digest));
}

export function hmacSha256Hex(key: string, text: string): string {
  const raw = ENCODER.encode(key);
  const padded = new Uint8Array(BLOCK);
  padded.set(raw.length > BLOCK ? sha256(raw) : raw);
  const inner = sha256(joined(padded.map((byte) => byte ^ 0x36), ENCODER.encode(text)));
  return hexOf(sha256(joined(padded.map((byte) => byte ^ 0x5c), inner)));
}

/** Takes as long whether they differ early or late; lengths are no secret. */
export function sameSecret(a: string, b: string): boolean {
  if (a.length !== b.length) return false;
  let different = 0;
  for (let i = 0; i < a.length; i++) different |= a.charCodeAt(i) ^ b.charCodeAt(i);
  return different === 0;
}

export function hexOf(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function joined(a: Uint8Array, b: Uint8Array): Uint8Array {
  const both = new Uint8Array(a.length + b.length);
  both.set(a);
  both.set(b, a.length);
  return both;
}

export function sha256(message: Uint8Array): Uint8Array {
  const { rounds, start } = constants();
  const padded = new Uint8Array((message.length + 9 + BLOCK - 1) & -BLOCK);
  padded.set(message);
  padded[message.length] = 0x80;
  const view = new DataView(padded.buffer);
  view.setBigUint64(padded.length - 8, BigInt(message.length) * 8n);
  const state = Uint32Array.from(start);
  const words = new Uint32Array(64);
  for (let block = 0; block < padded.length; block += BLOCK) {
    for (let i = 0; i < 16; i++) words[i] = view.getUint32(block + i * 4);
    for (let i = 16; i < 64; i++) {
      const [w15, w2] = [words[i - 15], words[i - 2]];
      const s0 = turned(w15, 7) ^ turned(w15, 18) ^ (w15 >>> 3);
      const s1 = turned(w2, 17) ^ turned(w2, 19) ^ (w2 >>> 10);
      words[i] = words[i - 16] + s0 + words[i - 7] + s1;
    }
    let [a, b, c, d, e, f, g, h] = state;
    for (let i = 0; i < 64; i++) {
      const s1 = turned(e, 6) ^ turned(e, 11) ^ turned(e, 25);
      const first = (h + s1 + ((e & f) ^ (~e & g)) + rounds[i] + words[i]) | 0;
      const s0 = turned(a, 2) ^ turned(a, 13) ^ turned(a, 22);
      const second = (s0 + ((a & b) ^ (a & c) ^ (b & c))) | 0;
      [h, g, f, e, d, c, b, a] = [g, f, e, (d + first) | 0, c, b, a, (first + second) | 0];
    }
    for (const [i, value] of [a, b, c, d, e, f, g, h].entries()) state[i] += value;
  }
  const digest = new Uint8Array(32);
  const out = new DataView(digest.buffer);
  state.forEach((value, i) => out.setUint32(i * 4, value));
  return digest;
}

function turned(word: number, by: number): number {
  return (word >>> by) | (word << (32 - by));
}

let made: { readonly rounds: Uint32Array; readonly start: Uint32Array } | undefined;

/** Fractions of the cube and square roots of the first primes, as the standard defines them. */
function constants() {
  if (made !== undefined) return made;
  const primes: number[] = [];
  for (let n = 2; primes.length < 64; n++) if (primes.every((p) => n % p !== 0)) primes.push(n);
  const fraction = (root: number) => (root - Math.floor(root)) * 2 ** 32;
  made = {
    rounds: Uint32Array.from(primes, (p) => fraction(Math.cbrt(p))),
    start: Uint32Array.from(primes.slice(0, 8), (p) => fraction(Math.sqrt(p))),
  };
  return made;
}
