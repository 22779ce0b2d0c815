/** The machine's own SSH key: made once, kept for the machine's life. */
import type { MachinePaths } from "../plan/paths.ts";
import { writeFileAtomic } from "./atomic.ts";
import { readOwnFile } from "./ownership.ts";

/** @returns the public half, as authorized_keys wants it */
export async function ensureSshKey(paths: MachinePaths): Promise<string> {
  const [existing, secret] = await Promise.all([
    readOwnFile(paths.sshPublicKey),
    readOwnFile(paths.sshKey),
  ]);
  if (existing !== undefined && secret !== undefined) return existing.trim();
  const { default: ssh2 } = await import("ssh2");
  const pair = ssh2.utils.generateKeyPairSync("ed25519", { comment: `rum-${paths.id}` });
  // The public half last: with it there, both are.
  await writeFileAtomic(paths.sshKey, `${pair.private}\n`, { mode: 0o600 });
  await writeFileAtomic(paths.sshPublicKey, `${pair.public}\n`, { mode: 0o644 });
  return pair.public.trim();
}
