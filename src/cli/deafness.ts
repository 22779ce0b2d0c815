/**
 * An interrupt is the background process's to answer, and that may take as long as a machine takes to
 * go off. But one that does not even answer `ping`, which never waits, hears nobody: without this, a
 * command whose daemon is stopped could not be ended by Ctrl+C at all.
 */
import { patientTimer } from "../base/patient_timer.ts";
import { hungError } from "../daemon/ask_line.ts";
import type { DaemonClient } from "../daemon/client.ts";
import type { Target } from "./target.ts";

const PING_MS = 10_000;

export interface Deafness {
  /** To be called at each interrupt. */
  check(): void;
  /** Rejects with `daemon_hung`; where the daemon hears, it stays what it is called. */
  readonly never: Promise<never>;
}

export function deafness(
  client: Pick<DaemonClient, "request">,
  { paths }: Pick<Target, "paths">,
): Deafness {
  const { promise: never, reject } = Promise.withResolvers<never>();
  never.catch(() => {});
  return {
    never,
    check() {
      const timer = patientTimer(PING_MS, () => reject(hungError(paths.socket, PING_MS)));
      client.request("ping", {}).catch(() => {}).finally(timer.cancel);
    },
  };
}
