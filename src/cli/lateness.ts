/**
 * `--timeout` of a verb whose machine is left to go on: it ends the waiting and nothing else.
 */
import { RumError } from "../base/errors.ts";
import { longTimer } from "../base/long_timer.ts";
import { formatDuration } from "../base/units.ts";
import type { Context } from "./verb.ts";

/** `never` rejects with `timeout`; without a `--timeout` it stays what it is called. */
export function lateness(
  context: Pick<Context, "globals">,
  verb: string,
  hint = "rum status",
  left: () => string = () => "it was left to go on",
): Disposable & { readonly never: Promise<never> } {
  const { timeoutMs } = context.globals;
  const { promise: never, reject } = Promise.withResolvers<never>();
  never.catch(() => {});
  const timer = timeoutMs === undefined ? undefined : longTimer(timeoutMs, () => {
    const sentence = `"rum ${verb}" took longer than ${formatDuration(timeoutMs)}`;
    reject(new RumError("timeout", `${sentence}; ${left()}`, { hint }));
  });
  return { never, [Symbol.dispose]: () => timer?.cancel() };
}
