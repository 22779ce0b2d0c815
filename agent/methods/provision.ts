/** provision: begins or joins a run, streams its output, answers with how it ended. */
import { provisionParams, type ProvisionResult } from "../../src/protocol/agent.ts";
import { StreamReset } from "../../src/wire/mux_stream.ts";
import type { Call } from "../call.ts";
import type { AgentContext } from "../context.ts";

export async function provision(call: Call, context: AgentContext): Promise<ProvisionResult> {
  const params = call.params(provisionParams);
  const { run, joined } = await context.provisioner.begin(params);
  // Its own run ends with a cancelled call; a lost link is nobody's wish.
  const onAbort = () => {
    if (!joined && call.signal.reason instanceof StreamReset) run.abort();
  };
  call.signal.addEventListener("abort", onAbort, { once: true });
  for await (const event of context.provisioner.follow(params.have, call.signal)) {
    await call.event(event);
  }
  call.signal.throwIfAborted();
  return await run.result;
}
