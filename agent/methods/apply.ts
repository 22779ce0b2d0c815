/** apply: users, keys, hostname, file systems and mounts, one at a time for the whole guest. */
import { applyParams } from "../../src/protocol/agent.ts";
import { applyAll } from "../apply/apply.ts";
import type { Call } from "../call.ts";
import type { AgentContext } from "../context.ts";

export async function apply(call: Call, context: AgentContext): Promise<unknown> {
  const params = call.params(applyParams);
  const outcomes = await context.applying.run(() => applyAll(context.options, params));
  for (const { item, outcome, message } of outcomes) {
    if (outcome !== "unchanged") context.log.write(`apply ${item}: ${message ?? outcome}`);
  }
  return { outcomes };
}
