/**
 * The secret that host and agent share, on the host's side. The seed carries the first one; at the
 * first hello it is replaced. While that is under way a crash may leave either side with either, so
 * the file holds every token that the agent may have, newest first, one a line.
 */
import { newToken } from "../protocol/proof.ts";
import { writeFileAtomic } from "./atomic.ts";
import { readOwnFile } from "./ownership.ts";

export interface AgentTokens {
  candidates(): Promise<readonly string[]>;
  prepare(next: string): Promise<void>;
  confirm(token: string): Promise<void>;
}

export function agentTokens(path: string): AgentTokens {
  const read = async () => (await readOwnFile(path) ?? "").split("\n").filter((l) => l !== "");
  const write = (tokens: readonly string[]) => writeFileAtomic(path, tokens.join("\n") + "\n");
  return {
    candidates: read,
    prepare: async (next) => await write([next, ...await read()]),
    async confirm(token) {
      const known = await read();
      if (known.length !== 1 || known[0] !== token) await write([token]);
    },
  };
}

/**
 * The token for the seed: for a new disk a new one, because it knows none of the old ones. Those of
 * the disk in place are kept beside it: a reset that is called off goes back to that disk.
 */
export async function firstToken(path: string, options: { fresh: boolean }): Promise<string> {
  const known = await agentTokens(path).candidates();
  // The oldest candidate is the one the seed was written with.
  const last = known.at(-1);
  if (last !== undefined && !options.fresh) return last;
  const token = newToken();
  // At most two belong to a disk (a rotation under way); what follows, to resets that came to nothing.
  await writeFileAtomic(path, [...known.slice(0, 2), token].join("\n") + "\n");
  return token;
}
