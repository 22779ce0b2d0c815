/**
 * The scripts as the host last sent them, in the guest's own state, so that a guest that boots with
 * no host around runs its Boot scripts by itself. Files first, then the index that names them.
 */
import { type GuestScript, provisionParams, scriptShape } from "../../src/protocol/agent.ts";
import type { ProvisionParams } from "../../src/protocol/agent.ts";
import { RumError } from "../../src/base/errors.ts";
import { toHex } from "../../src/protocol/proof.ts";
import { readJson, writeDurably } from "../durable.ts";
import type { AgentOptions } from "../options.ts";

export class ScriptCache {
  readonly #folder: string;

  constructor(options: AgentOptions) {
    this.#folder = `${options.state}/scripts`;
  }

  fileOf(script: GuestScript): string {
    const name = script.name.replace(/[^A-Za-z0-9._-]/g, "_").slice(0, 64);
    return `${this.#folder}/${String(script.order).padStart(3, "0")}-${name}-${
      script.hash.slice(0, 12)
    }.sh`;
  }

  /** @throws {RumError} `invalid_params` when a content does not match its hash */
  async store(params: ProvisionParams, options: { readonly prune: boolean }): Promise<void> {
    await Deno.mkdir(this.#folder, { recursive: true, mode: 0o700 });
    const wanted = new Set([`${this.#folder}/index.json`]);
    for (const script of params.scripts) {
      const bytes = new TextEncoder().encode(script.content);
      if (toHex(new Uint8Array(await crypto.subtle.digest("SHA-256", bytes))) !== script.hash) {
        throw new RumError("invalid_params", `Script "${script.name}" does not match its hash`);
      }
      await writeDurably(this.fileOf(script), bytes, { mode: 0o700 });
      wanted.add(this.fileOf(script));
    }
    const { scripts, waits } = params;
    await writeDurably(
      `${this.#folder}/index.json`,
      JSON.stringify({ scripts: scripts.map((s) => ({ ...s, content: "" })), waits, run: "due" }),
    );
    // A run under way still needs the files it was begun with.
    if (!options.prune) return;
    for await (const entry of Deno.readDir(this.#folder)) {
      const path = `${this.#folder}/${entry.name}`;
      if (!wanted.has(path)) await Deno.remove(path).catch(() => {});
    }
  }

  /** Undefined when nothing (readable) was cached. */
  async load(): Promise<ProvisionParams | undefined> {
    try {
      const index = provisionParams(await readJson(`${this.#folder}/index.json`), "");
      const scripts = await Promise.all(index.scripts.map(async (script) =>
        scriptShape({
          ...script,
          content: await Deno.readTextFile(this.fileOf(script)),
        }, "")
      ));
      return { ...index, scripts };
    } catch {
      return undefined;
    }
  }
}
