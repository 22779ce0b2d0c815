/**
 * `rum wait`: until the machine is as it is needed, within a time. Starts nothing: a machine that is
 * off, with nobody at work on it, is exit 5 at once. A background process that is only just starting
 * (`rum up -d` elsewhere) is waited for.
 */
import { EXIT, RumError } from "../base/errors.ts";
import { formatDuration } from "../base/units.ts";
import type { DaemonClient } from "../daemon/client.ts";
import { livingHolder } from "../daemon/probe.ts";
import { daemonClient, leftUntil } from "./daemon_client.ts";
import { durationOption } from "./globals.ts";
import { type Target, targetOf } from "./target.ts";
import type { Context, VerbCall } from "./verb.ts";

const DEFAULT_MS = 120_000;
const POLL_MS = 200;

export async function run(context: Context, call: VerbCall): Promise<number> {
  const what = typeof call.options.for === "string" ? call.options.for : "ready";
  requireCondition(what);
  const timeoutMs = typeof call.options.timeout === "string"
    ? durationOption("--timeout", call.options.timeout)
    : context.globals.timeoutMs ?? DEFAULT_MS;
  const target = await targetOf(context);
  const start = performance.now();
  await waitFor(context, target, what, start + timeoutMs);
  const waited = Math.round(performance.now() - start);
  context.out.document(
    "wait",
    { id: target.id, for: what, met: true, waited_ms: waited },
    () => `${what} after ${formatDuration(waited)}`,
  );
  return EXIT.ok;
}

/** Told here already, so that a misspelt condition is no matter of the machine's state. */
export function requireCondition(what: string): void {
  const port = /^port:(\d+)$/.exec(what);
  const fits = what === "agent" || what === "ready" || /^(exec|service):./s.test(what) ||
    (port !== null && Number(port[1]) >= 1 && Number(port[1]) <= 65535);
  if (fits) return;
  throw new RumError(
    "usage",
    `Cannot wait for "${what}": wanted agent, ready, port:N, service:NAME or exec:CMD`,
    { hint: "rum wait --help" },
  );
}

/** A background process that ends under it is followed by another, which is asked the same. */
async function waitFor(
  context: Context,
  target: Target,
  what: string,
  end: number,
): Promise<void> {
  const { signal } = context;
  for (;;) {
    {
      await using client = await reachable(context, target, end);
      try {
        await client.request("wait", { for: what, timeout_ms: leftUntil(end) }, { signal });
        return;
      } catch (thrown) {
        const ended = thrown instanceof RumError &&
          (thrown.code === "shutting_down" || thrown.code === "daemon_failed");
        if (!ended || performance.now() > end) throw thrown;
      }
    }
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    signal.throwIfAborted();
  }
}

async function reachable(context: Context, target: Target, end: number): Promise<DaemonClient> {
  for (;;) {
    try {
      return await daemonClient(context, target, leftUntil(end));
    } catch (thrown) {
      const worked = thrown instanceof RumError && thrown.code === "not_running" &&
        await livingHolder(target.paths.lock) !== undefined;
      if (!worked || performance.now() > end) throw thrown;
    }
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    context.signal.throwIfAborted();
  }
}
