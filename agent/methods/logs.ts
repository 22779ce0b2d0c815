/** logs: the end of the agent's own log. */
import { logsParams } from "../../src/protocol/agent.ts";
import type { Call } from "../call.ts";
import type { AgentContext } from "../context.ts";

export async function logs(call: Call, context: AgentContext): Promise<{ text: string }> {
  const { bytes } = call.params(logsParams);
  return { text: await context.log.tail(bytes ?? 64 * 1024) };
}
