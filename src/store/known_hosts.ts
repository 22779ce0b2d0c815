/**
 * The machine's own known_hosts: the guest's host keys as the agent's authenticated link told them,
 * so that ssh never has to trust what it meets on the way. Pure lines here, one atomic write.
 */
import type { MachinePaths } from "../plan/paths.ts";
import { writeFileAtomic } from "./atomic.ts";
import { readOwnFile } from "./ownership.ts";

export const HOST_KEY_FILES = [
  "/etc/ssh/ssh_host_ed25519_key.pub",
  "/etc/ssh/ssh_host_ecdsa_key.pub",
  "/etc/ssh/ssh_host_rsa_key.pub",
] as const;

/** The name under which ssh looks the key up, whatever address it thinks it goes to. */
export function hostKeyAlias(id: string): string {
  return `rum-${id}`;
}

const KEY =
  /^(ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp(?:256|384|521)) ([A-Za-z0-9+/]{16,4096}={0,2})(?:\s|$)/;

/** Lines of a known_hosts file; what is no public key is left out, it came from the guest. */
export function knownHostsText(id: string, publicKeys: readonly string[]): string {
  return publicKeys.flatMap((text) => {
    const [, kind, blob] = KEY.exec(text.trim()) ?? [];
    return blob === undefined ? [] : [`${hostKeyAlias(id)} ${kind} ${blob}\n`];
  }).join("");
}

/** Leaves an equal file alone. An empty list changes nothing: keys are pinned, not forgotten. */
export async function pinHostKeys(
  paths: Pick<MachinePaths, "id" | "knownHosts">,
  publicKeys: readonly string[],
): Promise<void> {
  const text = knownHostsText(paths.id, publicKeys);
  if (text === "" || await readOwnFile(paths.knownHosts) === text) return;
  await writeFileAtomic(paths.knownHosts, text);
}
