/** shutdown: asks the guest's own init to power off or reboot; the answer comes before the end does. */
import { RumError } from "../../src/base/errors.ts";
import { shutdownParams } from "../../src/protocol/agent.ts";
import type { Call } from "../call.ts";
import type { AgentContext } from "../context.ts";

export async function shutdown(call: Call, context: AgentContext): Promise<unknown> {
  const { kind } = call.params(shutdownParams);
  context.log.write(`${kind} asked by the host`);
  if (context.options.dry) return {};
  const { success, stderr } = await new Deno.Command("systemctl", {
    args: ["--no-block", kind],
    stdin: "null",
    stdout: "null",
  }).output();
  if (success) return {};
  const reason = new TextDecoder().decode(stderr).trim();
  throw new RumError("agent_error", `The guest refused to ${kind}: ${reason}`);
}
