/** The host's side of an upgrade: announces the program, sends what the guest lacks. */
import { createHash } from "../base/hash.ts";
import { RumError } from "../base/errors.ts";
import {
  upgradeNeeds,
  type UpgradeParams,
  upgradeParams,
  upgradeResult,
} from "../protocol/agent.ts";
import { KIND } from "../protocol/calls.ts";
import type { Mux } from "../wire/mux_types.ts";
import { AgentCall } from "./agent_call.ts";
import { sendBody } from "./agent_files.ts";

export interface AgentProgram {
  readonly digest: string;
  readonly files: readonly {
    readonly name: string;
    readonly path: string;
    readonly bytes: number;
  }[];
}

/** Resolves when the guest has the program and is about to become it. */
export async function upgradeAgent(
  mux: Mux,
  program: AgentProgram,
  options: { signal?: AbortSignal } = {},
): Promise<void> {
  const files: unknown[] = [];
  for (const { name, path } of program.files) {
    const hash = createHash("sha256");
    let bytes = 0;
    for await (const chunk of contentOf(path)) {
      hash.update(chunk);
      bytes += chunk.length;
    }
    files.push({ name, sha256: hash.digest("hex"), bytes });
  }
  const params: UpgradeParams = upgradeParams({ digest: program.digest, files }, "");
  await using call = await AgentCall.open(mux, "upgrade", params, options);
  const first = await call.next(upgradeResult);
  if (first.kind === "final" || first.record.kind !== KIND.event) {
    throw call.lied("answered an upgrade before it had the program");
  }
  for (const { name } of call.read(first.record, upgradeNeeds).need) {
    const file = program.files.find((each) => each.name === name);
    if (file === undefined) throw new RumError("agent_lied", `The guest asked for "${name}"`);
    await sendBody(call, contentOf(file.path));
  }
  await call.result(upgradeResult);
}

async function* contentOf(path: string): AsyncGenerator<Uint8Array> {
  using file = await Deno.open(path);
  for (;;) {
    const chunk = new Uint8Array(256 * 1024);
    const filled = await file.read(chunk);
    if (filled === null) return;
    yield chunk.subarray(0, filled);
  }
}
