/**
 * How commands end that go on by themselves (`log -f`, `events -f`, `status --watch`): Ctrl+C is
 * their ordinary end, exit 0; `--timeout` is the end that somebody feared, exit 124.
 */
import { EXIT, RumError } from "../base/errors.ts";
import { formatDuration } from "../base/units.ts";
import type { Context } from "./verb.ts";

export interface FollowEnd extends Disposable {
  readonly signal: AbortSignal;
  /** The exit code once `signal` is aborted. @throws {RumError} `timeout` */
  exit(): number;
}

export function untilInterrupted(context: Pick<Context, "signal" | "globals">): FollowEnd {
  const over = new AbortController();
  const { timeoutMs } = context.globals;
  const end = () => over.abort(context.signal.reason);
  const timer = timeoutMs === undefined ? undefined : setTimeout(() => {
    over.abort(
      new RumError("timeout", `Followed for ${formatDuration(timeoutMs)}, as --timeout says`),
    );
  }, timeoutMs);
  if (context.signal.aborted) end();
  context.signal.addEventListener("abort", end, { once: true });
  return {
    signal: over.signal,
    exit() {
      const { reason } = over.signal;
      if (reason instanceof RumError && reason.code === "timeout") throw reason;
      return EXIT.ok;
    },
    [Symbol.dispose]() {
      clearTimeout(timer);
      context.signal.removeEventListener("abort", end);
    },
  };
}
