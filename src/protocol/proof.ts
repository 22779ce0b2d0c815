/**
 * How host and agent prove the machine's token to each other without sending it, and how the next
 * token crosses the wire hidden under a pad that only holders of the present one can make. Both
 * sides mix in a nonce of each, so that nothing recorded can be played again.
 */
export type Side = "host" | "agent";

export interface Nonces {
  readonly host: string;
  readonly agent: string;
}

export function newNonce(): string {
  return toHex(crypto.getRandomValues(new Uint8Array(32)));
}

/** 32 random bytes in hex: what the seed carries and what rotation makes. */
export function newToken(): string {
  return newNonce();
}

export function isToken(text: string): boolean {
  return /^[0-9a-f]{64}$/.test(text);
}

export async function proofOf(token: string, side: Side, nonces: Nonces): Promise<string> {
  return toHex(await hmac(token, `rum ${side} ${nonces.host} ${nonces.agent}`));
}

/** Compares in a time that does not depend on where the first difference is. */
export function sameProof(a: string, b: string): boolean {
  let difference = a.length ^ b.length;
  for (let i = 0; i < Math.min(a.length, b.length); i++) {
    difference |= a.charCodeAt(i) ^ b.charCodeAt(i);
  }
  return difference === 0;
}

/** Hides or reveals the next token: its own inverse. */
export async function maskToken(token: string, next: string, nonces: Nonces): Promise<string> {
  const pad = await hmac(token, `rum rotate ${nonces.host} ${nonces.agent}`);
  return toHex(fromHex(next).map((byte, i) => byte ^ pad[i]));
}

async function hmac(token: string, text: string): Promise<Uint8Array> {
  const bytes = new TextEncoder();
  const key = await crypto.subtle.importKey(
    "raw",
    bytes.encode(token),
    { name: "HMAC", hash: "SHA-256" },
    false,
    ["sign"],
  );
  return new Uint8Array(await crypto.subtle.sign("HMAC", key, bytes.encode(text)));
}

export function toHex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function fromHex(text: string): Uint8Array {
  return Uint8Array.from(text.match(/../g) ?? [], (pair) => parseInt(pair, 16));
}
