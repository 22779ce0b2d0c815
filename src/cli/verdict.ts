/** What to say when the conversation with the daemon broke off: its log says why, if anything does. */
import { RumError, toRumError } from "../base/errors.ts";
import { logTail } from "../daemon/daemon_log.ts";
import type { Target } from "./target.ts";

export async function waitForDaemon(thrown: unknown, target: Target): Promise<RumError> {
  const error = toRumError(thrown);
  if (error.code !== "daemon_failed" && error.code !== "daemon_unreachable") return error;
  const tail = await logTail(target.paths.daemonLog, 5);
  return new RumError(
    error.code,
    tail.length === 0 ? error.message : `${error.message}; its log ends with: ${tail.join(" | ")}`,
    { cause: error, hint: `less ${target.paths.daemonLog}` },
  );
}
