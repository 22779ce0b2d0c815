/**
 * Waiting with an end. Nothing in rum waits without a deadline, and a wait that ends by its
 * deadline says what it waited for, so the two come together here.
 */
import { RumError, type RumErrorOptions } from "./errors.ts";
import { patientTimer } from "./patient_timer.ts";

/** What a wait was for, told when it ran out: "Waiting for the guest agent". */
export interface DeadlineOptions extends RumErrorOptions {
  readonly waitingFor: string;
  readonly timeoutMs: number;
  /** The caller's own reason to stop early. */
  readonly signal?: AbortSignal;
  /** Asked when the time is up: what was seen last. */
  readonly lastSeen?: () => string | undefined;
}

/**
 * Runs `work` with a signal that aborts at the deadline or with the caller's signal.
 *
 * @throws {RumError} `timeout` when the deadline passed first, whatever `work` does afterwards
 */
export async function withDeadline<T>(
  options: DeadlineOptions,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  options.signal?.throwIfAborted();
  const controller = new AbortController();
  const { promise: stopped, reject } = Promise.withResolvers<never>();
  stopped.catch(() => {});
  const stop = (reason: unknown) => {
    controller.abort(reason);
    reject(reason);
  };
  const onAbort = () => stop(options.signal!.reason);
  options.signal?.addEventListener("abort", onAbort, { once: true });
  const timer = patientTimer(options.timeoutMs, () => {
    const seen = options.lastSeen?.();
    stop(
      new RumError(
        "timeout",
        `${options.waitingFor} took longer than ${formatSeconds(options.timeoutMs)}` +
          (seen === undefined ? "" : `; seen last: ${seen}`),
        options,
      ),
    );
  });
  try {
    return await Promise.race([work(controller.signal), stopped]);
  } finally {
    timer.cancel();
    options.signal?.removeEventListener("abort", onAbort);
  }
}

function formatSeconds(ms: number): string {
  return ms < 1000 ? `${ms} ms` : `${Math.round(ms / 100) / 10} s`;
}

/** One signal out of several; unlike AbortSignal.any it holds no listener once disposed. */
export function linkedAbort(
  ...signals: (AbortSignal | undefined)[]
): { signal: AbortSignal; abort: (reason?: unknown) => void } & Disposable {
  const controller = new AbortController();
  const undo: (() => void)[] = [];
  for (const signal of signals) {
    if (signal === undefined) continue;
    if (signal.aborted) controller.abort(signal.reason);
    const onAbort = () => controller.abort(signal.reason);
    signal.addEventListener("abort", onAbort, { once: true });
    undo.push(() => signal.removeEventListener("abort", onAbort));
  }
  return {
    signal: controller.signal,
    abort: (reason) => controller.abort(reason),
    [Symbol.dispose]: () => undo.forEach((f) => f()),
  };
}
