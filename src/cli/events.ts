/**
 * `rum events`: what happened to the machine, numbered, from its event log on the host; nobody needs
 * to be asked for the past. `-f` goes on with new ones (from `--since` on, where given) through the
 * background process, also when that ends and another begins; Ctrl+C or the machine's own end is its end, exit 0.
 */
import { EXIT, RumError } from "../base/errors.ts";
import { printableLine } from "../base/printable.ts";
import { connectDaemon } from "../daemon/client.ts";
import { readEvents } from "../daemon/event_log.ts";
import type { MachineEvent } from "../protocol/machine_events.ts";
import { hasMachineFolder } from "../store/machine_folder.ts";
import { plainText } from "../ui/observer.ts";
import { untilInterrupted } from "./follow.ts";
import { type Target, targetOf } from "./target.ts";
import type { Context, VerbCall } from "./verb.ts";

const POLL_MS = 500;
const PASSING = ["daemon_unreachable", "daemon_failed", "daemon_hung", "shutting_down", "busy"];

export async function run(context: Context, call: VerbCall): Promise<number> {
  const since = sinceOption(call.options.since);
  const target = await targetOf(context);
  if (!await hasMachineFolder(target.paths)) {
    throw new RumError("machine_not_found", "There is no machine yet, so nothing happened to it", {
      hint: "rum up -d",
    });
  }
  const follow = call.options.follow === true;
  const past = await readEvents(target.paths.events);
  let last = { seq: past.at(-1)?.seq ?? 0, at: past.at(-1)?.at ?? "" };
  if (!follow || since !== undefined) {
    for (const event of past) if (event.seq > (since ?? 0)) sayEvent(context, event);
  }
  if (!follow) return EXIT.ok;
  using end = untilInterrupted(context);
  let from = since ?? 0;
  const say = (event: MachineEvent) => {
    const { seq } = event;
    if (event.kind !== "line" && seq !== undefined) {
      // A machine that was destroyed and made anew counts from 1 again, and later.
      if (seq <= last.seq && event.at <= last.at) return;
      if (seq <= last.seq) from = 0;
      last = event;
      if (seq <= from) return;
    } else if (seq !== undefined && seq < from) return;
    sayEvent(context, event);
  };
  while (!end.signal.aborted) {
    // What the last breath of a daemon did not send is in the file, and the first of the next machine.
    for (const event of await readEvents(target.paths.events)) say(event);
    await listen(target, last.seq, say, end.signal);
    await pause(POLL_MS, end.signal);
    if (!end.signal.aborted && !await hasMachineFolder(target.paths)) {
      context.out.note("The machine was destroyed: nothing more will come");
      return EXIT.ok;
    }
  }
  return end.exit();
}

/** Until the daemon or the caller ends it; not at all where there is none, or a lone `down`. */
async function listen(
  target: Target,
  since: number,
  say: (event: MachineEvent) => void,
  signal: AbortSignal,
): Promise<void> {
  try {
    await using client = await connectDaemon(target.paths, { signal });
    await client.request("events", { follow: true, since }, {
      signal,
      onEvent: (event) => say(event as unknown as MachineEvent),
    });
  } catch (thrown) {
    if (signal.aborted || thrown instanceof RumError && PASSING.includes(thrown.code)) return;
    throw thrown;
  }
}

export function sinceOption(text: unknown): number | undefined {
  if (typeof text !== "string") return undefined;
  if (/^\d{1,15}$/.test(text)) return Number(text);
  throw new RumError("usage", `Cannot read --since "${text}": wanted the number of an event`, {
    hint: "rum events --help",
  });
}

function sayEvent(context: Context, event: MachineEvent): void {
  context.out.record("event", event, () => eventLine(event));
}

export function eventLine(event: MachineEvent): string {
  const number = event.kind === "line" ? "" : String(event.seq ?? "");
  return `${number.padStart(5)} ${event.at ?? ""} ${String(event.kind ?? "dropped").padEnd(9)} ${
    printableLine(textOf(event), 4000)
  }`;
}

function textOf(event: MachineEvent): string {
  switch (event.kind) {
    case "line":
      return `${event.script} ${event.stream === "out" ? "|" : "!"} ${event.text}`;
    case "owner":
      return `${event.state}${event.why === undefined ? "" : ` (${event.why})`}`;
    case "operation":
      return `${event.what} ${event.state}` +
        (event.outcome === undefined ? "" : `: ${event.outcome}`);
    case "progress":
      return `${event.step}: ${event.text}`;
    default:
      return plainText(event) ?? JSON.stringify(event);
  }
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    const timer = setTimeout(done, ms);
    signal.addEventListener("abort", done, { once: true });
    function done() {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    }
  });
}
