/**
 * What a machine is asked for may take as long as it takes: minutes to boot, minutes to go off. But a
 * background process that does not even answer `ping`, which never waits, hears nobody: it was stopped,
 * or is stuck. So it is asked now and then, and at each interrupt; without this a command whose daemon
 * is stopped would hang for ever, and could not be ended by Ctrl+C either.
 */
import { patientTimer } from "../base/patient_timer.ts";
import { hungError } from "../daemon/ask_line.ts";
import type { DaemonClient } from "../daemon/client.ts";
import type { Target } from "./target.ts";

export interface DeafnessTimes {
  /** Somebody waits at a terminal. */
  readonly interruptedMs: number;
  /** Nobody does; a host may be starved for a while. */
  readonly silentMs: number;
  readonly everyMs: number;
}

const TIMES: DeafnessTimes = { interruptedMs: 10_000, silentMs: 30_000, everyMs: 30_000 };

export interface Deafness extends Disposable {
  /** To be called at each interrupt. */
  check(): void;
  /** Rejects with `daemon_hung`; where the daemon hears, it stays what it is called. */
  readonly never: Promise<never>;
}

export function deafness(
  client: Pick<DaemonClient, "request">,
  { paths }: Pick<Target, "paths">,
  { interruptedMs, silentMs, everyMs }: DeafnessTimes = TIMES,
): Deafness {
  const { promise: never, reject } = Promise.withResolvers<never>();
  never.catch(() => {});
  const timers = new Set<ReturnType<typeof patientTimer>>();
  const ask = (withinMs: number) => {
    const timer = patientTimer(withinMs, () => reject(hungError(paths.socket, withinMs)));
    timers.add(timer);
    client.request("ping", {}).catch(() => {}).finally(() => {
      timer.cancel();
      timers.delete(timer);
    });
  };
  const again = setInterval(() => ask(silentMs), everyMs);
  return {
    never,
    check: () => ask(interruptedMs),
    [Symbol.dispose]() {
      clearInterval(again);
      for (const timer of timers) timer.cancel();
    },
  };
}
