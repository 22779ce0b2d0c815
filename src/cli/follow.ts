/**
 * How commands end that go on by themselves (`log -f`, `events -f`, `status --watch`): Ctrl+C is
 * their ordinary end, exit 0; `--timeout` is the end that somebody feared, exit 124.
 */
import { EXIT, RumError } from "../base/errors.ts";
import type { Context } from "./verb.ts";

export interface FollowEnd extends Disposable {
  readonly signal: AbortSignal;
  /** The exit code once `signal` is aborted. @throws {RumError} `timeout` */
  exit(): number;
}

export function untilInterrupted({ signal }: Pick<Context, "signal">): FollowEnd {
  const over = new AbortController();
  const end = () => over.abort(signal.reason);
  if (signal.aborted) end();
  signal.addEventListener("abort", end, { once: true });
  return {
    signal: over.signal,
    exit() {
      const { reason } = over.signal;
      if (reason instanceof RumError && reason.code === "timeout") throw reason;
      return EXIT.ok;
    },
    [Symbol.dispose]: () => signal.removeEventListener("abort", end),
  };
}
