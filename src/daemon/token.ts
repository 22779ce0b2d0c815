/**
 * The daemon's token: 32 random bytes as hex in a 0600 file of the machine's folder. Whoever can
 * read it may talk to the daemon. Not the guest's token: a guest knows that one.
 */
import { RumError } from "../base/errors.ts";
import { writeFileAtomic } from "../store/atomic.ts";
import { readOwnFile } from "../store/ownership.ts";

/** Makes the token where there is none; called under the machine's lock. */
export async function ensureToken(path: string): Promise<string> {
  const found = await readOwnFile(path, { maxBytes: 4096 });
  if (found !== undefined && found.trim() !== "") return found.trim();
  const token = crypto.getRandomValues(new Uint8Array(32)).toHex();
  await writeFileAtomic(path, token + "\n", { mode: 0o600 });
  return token;
}

/** @throws {RumError} `unauthorized` when there is no token to be had */
export async function readToken(path: string): Promise<string> {
  const found = await readOwnFile(path, { maxBytes: 4096 });
  if (found === undefined || found.trim() === "") {
    throw new RumError("unauthorized", `There is no token at "${path}"`, {
      hint: "rum daemon restart",
    });
  }
  return found.trim();
}
