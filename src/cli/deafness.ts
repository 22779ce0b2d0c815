/**
 * What a machine is asked for may take as long as it takes: minutes to boot, hours in a shell. But a
 * background process that does not even answer `ping`, which never waits, hears nobody: it was stopped,
 * or is stuck. So it is asked now and then, and at each interrupt; without this a command whose daemon
 * is stopped would hang for ever, and could not be ended by Ctrl+C either.
 *
 * On a connection of its own: an answer on ours would wait behind output that nobody takes just now
 * (`rum exec … | less`).
 */
import { toRumError } from "../base/errors.ts";
import { askLine } from "../daemon/ask_line.ts";
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
  { paths }: Pick<Target, "paths">,
  { interruptedMs, silentMs, everyMs }: DeafnessTimes = TIMES,
  ask: typeof askLine = askLine,
): Deafness {
  const { promise: never, reject } = Promise.withResolvers<never>();
  never.catch(() => {});
  const over = new AbortController();
  const ping = (timeoutMs: number) =>
    ask(paths, "ping", { timeoutMs, signal: over.signal }).catch((thrown) => {
      // A daemon that went, or is crowded, is another matter: our own connection tells.
      if (toRumError(thrown).code === "daemon_hung") reject(thrown);
    });
  const again = setInterval(() => ping(silentMs), everyMs);
  return {
    never,
    check: () => void ping(interruptedMs),
    [Symbol.dispose]() {
      clearInterval(again);
      over.abort();
    },
  };
}

export interface HearingClient extends DaemonClient {
  /** To be called at each interrupt. */
  checkHearing(): void;
}

/** The same client, whose requests end with `daemon_hung` instead of never. */
export function unlessDeaf(
  client: DaemonClient,
  target: Pick<Target, "paths">,
  deaf: Deafness = deafness(target),
): HearingClient {
  const close = () => {
    deaf[Symbol.dispose]();
    return client.close();
  };
  return {
    welcome: client.welcome,
    request: (method, params, options) =>
      Promise.race([client.request(method, params, options), deaf.never]),
    ended: client.ended,
    checkHearing: deaf.check,
    close,
    [Symbol.asyncDispose]: close,
  };
}
