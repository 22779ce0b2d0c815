/** The guest's ssh host keys, read over the agent's link. */
import type { AgentClient } from "./agent_client.ts";

const MAX_BYTES = 16 * 1024;

/** Those that are there, in the order asked; none at all before sshd was set up. */
export async function readHostKeys(
  client: Pick<AgentClient, "readFile">,
  files: readonly string[],
  options: { readonly signal?: AbortSignal } = {},
): Promise<string[]> {
  const found = await Promise.all(files.map(async (path) => {
    const parts: Uint8Array[] = [];
    try {
      await client.readFile(path, {
        meta() {},
        data: (bytes) => void parts.push(bytes.slice()),
        zeros() {},
      }, { signal: options.signal, bounds: { maxEntries: 1, maxBytes: MAX_BYTES } });
    } catch {
      options.signal?.throwIfAborted();
      return undefined;
    }
    return await new Blob(parts as BlobPart[]).text();
  }));
  return found.filter((text) => text !== undefined);
}
