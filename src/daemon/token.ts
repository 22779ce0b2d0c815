/**
 * The daemon's token: 32 random bytes as hex in a 0600 file of the machine's folder. Whoever can
 * read it may talk to the daemon. Not the guest's token: a guest knows that one.
 */
import { writeFileAtomic } from "../store/atomic.ts";
import { readOwnFile } from "../store/ownership.ts";

/** Makes the token where there is none; called under the machine's lock. */
export async function ensureToken(path: string): Promise<string> {
  const found = await readToken(path);
  if (found !== undefined) return found;
  const token = crypto.getRandomValues(new Uint8Array(32)).toHex();
  await writeFileAtomic(path, token + "\n", { mode: 0o600 });
  return token;
}

/** Undefined where there is none: the machine's folder is being removed, or is just being made. */
export async function readToken(path: string): Promise<string | undefined> {
  const found = (await readOwnFile(path, { maxBytes: 4096 }))?.trim();
  return found === "" ? undefined : found;
}
