/**
 * `rum status --watch`: a line (JSON: a document) at each change. Looks when the daemon has an event
 * and, because daemons come and go, once a second; tells only what differs from the look before:
 * of the document what lasts, and of the line what it shows.
 */
import { connectDaemon } from "../daemon/client.ts";
import { untilInterrupted } from "./follow.ts";
import { lookAt, type MachineLook } from "./look.ts";
import { statusLine } from "./status_text.ts";
import type { Target } from "./target.ts";
import type { Context } from "./verb.ts";

const POLL_MS = 1000;

export async function watchStatus(context: Context, target: Target): Promise<number> {
  using end = untilInterrupted(context);
  const alarm = new Alarm(end.signal);
  let told = "";
  let listening = false;
  const listen = () => {
    if (listening) return;
    listening = true;
    listenTo(target, end.signal, () => alarm.ring()).catch(() => {})
      .finally(() => listening = false);
  };
  while (!end.signal.aborted) {
    const look = await lookAt(target, { home: context.host.home });
    const line = statusLine(look);
    const seen = context.out.mode === "json" ? lasting(look) : line;
    if (seen !== told) {
      told = seen;
      context.out.record("status", look, () => `${new Date().toISOString()} ${line}`);
    }
    if (look.as_recorded !== true) listen();
    await alarm.wait(POLL_MS);
  }
  return end.exit();
}

async function listenTo(target: Target, signal: AbortSignal, ring: () => void): Promise<void> {
  await using client = await connectDaemon(target.paths, { signal });
  await client.request("events", { follow: true }, { signal, onEvent: ring });
}

/** Clocks and counters: they go on while nothing happens. */
const RESTLESS = new Set(["revision", "uptime_ms", "retry_in_ms", "active", "total", "done"]);

/** What a look says, without what changes by itself from one look to the next. */
export function lasting(look: MachineLook): string {
  return JSON.stringify(look, (key, value) => RESTLESS.has(key) ? undefined : value);
}

/** A wait that a ring ends early; a ring while nobody waits ends the next wait at once. */
class Alarm {
  #wake?: () => void;
  #rung = false;

  constructor(over: AbortSignal) {
    over.addEventListener("abort", () => this.ring(), { once: true });
  }

  ring(): void {
    this.#rung = true;
    this.#wake?.();
  }

  async wait(ms: number): Promise<void> {
    if (!this.#rung) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, ms);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
    this.#wake = undefined;
    this.#rung = false;
  }
}
