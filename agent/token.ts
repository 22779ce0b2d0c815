/**
 * The agent's token. The seed's one opens the first hello only: a host replaces it there, because
 * the seed is a file on the host and a disk in the guest for ever. From then on the state's counts,
 * and the seed's is not looked at again.
 */
import { isToken } from "../src/protocol/proof.ts";
import { writeDurably } from "./durable.ts";
import type { AgentOptions } from "./options.ts";

export class TokenFile {
  readonly #seedPath: string;
  readonly #statePath: string;

  constructor(options: AgentOptions) {
    this.#seedPath = `${options.seed}/token`;
    this.#statePath = `${options.state}/token`;
  }

  async read(): Promise<{ token: string; from: "seed" | "rotated" } | undefined> {
    const rotated = await tokenAt(this.#statePath);
    if (rotated !== undefined) return { token: rotated, from: "rotated" };
    const seeded = await tokenAt(this.#seedPath);
    return seeded === undefined ? undefined : { token: seeded, from: "seed" };
  }

  async replace(next: string): Promise<void> {
    await writeDurably(this.#statePath, `${next}\n`, { mode: 0o600 });
  }
}

async function tokenAt(path: string): Promise<string | undefined> {
  const text = (await Deno.readTextFile(path).catch(() => "")).trim();
  return isToken(text) ? text : undefined;
}
