/** signal and resize: for a running exec, on streams of their own so that stdin cannot delay them. */
import { RumError } from "../../src/base/errors.ts";
import { resizeParams, signalParams } from "../../src/protocol/agent.ts";
import type { Call } from "../call.ts";
import type { AgentContext } from "../context.ts";

const SIGNALS = [
  "SIGHUP",
  "SIGINT",
  "SIGQUIT",
  "SIGUSR1",
  "SIGUSR2",
  "SIGTERM",
  "SIGKILL",
  "SIGCONT",
  "SIGSTOP",
  "SIGTSTP",
  "SIGWINCH",
] as const;

export function signal(call: Call, context: AgentContext): Promise<unknown> {
  const params = call.params(signalParams);
  const name = SIGNALS.find((each) => each === params.signal);
  if (name === undefined) {
    throw new RumError(
      "invalid_params",
      `Signal "${params.signal}" is unknown, wanted one of ${SIGNALS.join(", ")}`,
    );
  }
  context.execs.get(params.exec).signal(name);
  return Promise.resolve({});
}

export function resize(call: Call, context: AgentContext): Promise<unknown> {
  const params = call.params(resizeParams);
  const running = context.execs.get(params.exec);
  if (running.resize === undefined) {
    throw new RumError("invalid_params", `Exec ${params.exec} has no terminal`);
  }
  running.resize(params.cols, params.rows);
  return Promise.resolve({});
}
