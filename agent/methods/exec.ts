/** exec: runs one program for the host, on pipes or on a terminal of its own. */
import { execParams, type ExecResult } from "../../src/protocol/agent.ts";
import type { Call } from "../call.ts";
import type { AgentContext } from "../context.ts";
import { resolveCommand } from "../exec/command.ts";
import { runPiped } from "../exec/piped.ts";

export async function exec(call: Call, context: AgentContext): Promise<ExecResult> {
  const params = call.params(execParams);
  const command = await resolveCommand(params, context.options.root);
  if (params.pty === undefined) {
    return await runPiped(call, context, command, params.stdin ?? false);
  }
  const { runOnPty } = await import("../exec/pty.ts");
  return await runOnPty(call, context, command, params.pty);
}
