/**
 * Followers of an `up`, one for each output mode, behind one interface: `event` for each machine
 * event, `line` for log lines once the machine runs, `end` when the command leaves. Only the
 * interactive one owns the screen; the others append.
 */
import { formatDuration } from "../base/units.ts";
import { printableLine } from "../base/printable.ts";
import type { MachineEvent } from "../protocol/machine_events.ts";
import { frameOf } from "./frame.ts";
import type { Output } from "./output.ts";
import { applyEvent, EMPTY_VIEW, type UpView } from "./up_view.ts";

export interface Observer extends Disposable {
  event(event: MachineEvent): void;
  /** The screen is given back: the last frame stays, nothing is redrawn any more. */
  settle(): void;
}

export interface Terminal {
  columns(): number;
  write(text: string): void;
}

export interface ObserverOptions {
  readonly out: Output;
  readonly terminal: Terminal;
  readonly now?: () => number;
}

export function createObserver(options: ObserverOptions): Observer {
  if (options.out.quiet && options.out.mode !== "json") return quietObserver(options.out);
  switch (options.out.mode) {
    case "interactive":
      return interactiveObserver(options);
    case "plain":
      return plainObserver(options);
    case "json":
      return jsonObserver(options.out);
  }
}

function jsonObserver(out: Output): Observer {
  return {
    event: (event) => out.record("event", event, () => undefined),
    settle: () => {},
    [Symbol.dispose]: () => {},
  };
}

/** With -q: what should be known before it hurts, and nothing of what goes as it should. */
function quietObserver(out: Output): Observer {
  return {
    event(event) {
      if (event.kind !== "warning") return;
      out.record("event", event, () => printableLine(plainText(event) ?? ""));
    },
    settle: () => {},
    [Symbol.dispose]: () => {},
  };
}

/** One line per change of state, with the time since the command began. */
function plainObserver({ out, now = () => performance.now() }: ObserverOptions): Observer {
  const start = now();
  let last = "";
  return {
    event(event) {
      const text = plainText(event);
      if (text === undefined || text === last) return;
      last = text;
      const time = formatDuration(now() - start).padStart(8);
      out.record("event", event, () => `[${time}] ${printableLine(text)}`);
    },
    settle: () => {},
    [Symbol.dispose]: () => {},
  };
}

/** The sentence of an event for a log; undefined when it is not a change of state. */
export function plainText(event: MachineEvent): string | undefined {
  switch (event.kind) {
    case "phase":
      return event.cause === undefined ? event.text : `${event.text}: ${event.cause.message}`;
    case "script":
      return `script ${event.script} ${event.state}` +
        (event.ms === undefined ? "" : ` in ${formatDuration(event.ms)}`) +
        (event.code === undefined || event.code === 0 ? "" : `, exit code ${event.code}`);
    case "progress":
      // Only where a step begins or ends: a bar's every move is not a change of state.
      return event.total === undefined || event.done === event.total
        ? `${event.step}: ${event.text}`
        : undefined;
    case "guest":
      return event.text;
    case "agent":
      return `agent ${event.state}`;
    case "forward":
      return `forward ${event.bind}:${event.host} → ${event.guest} ${event.state}` +
        (event.text === undefined ? "" : `: ${event.text}`);
    case "changes":
      return [
        ...event.applied.map((text) => `applied: ${text}`),
        ...event.needs.map((text) => `not applied: ${text}`),
      ].join("; ") || undefined;
    case "warning":
      return `warning: ${event.text}`;
    case "note":
      return event.text;
    case "service":
      return `service ${event.service}/${event.index} ${event.state}`;
    case "owner":
    case "operation":
    case "line":
      return undefined;
  }
}

const REDRAW_MS = 100;

/** Redraws in place: up to the first line of the last frame, then each line, clearing its end. */
function interactiveObserver(options: ObserverOptions): Observer {
  const { out, terminal, now = () => performance.now() } = options;
  const start = now();
  let view: UpView = EMPTY_VIEW;
  let drawn = 0;
  let timer: ReturnType<typeof setInterval> | undefined;
  const draw = (last = false) => {
    const lines = frameOf(view, {
      columns: terminal.columns(),
      colour: out.colour,
      nowMs: now() - start,
      last,
    });
    const up = drawn > 0 ? `\x1b[${drawn}A` : "";
    const body = lines.map((line) => `\r\x1b[2K${line}\n`).join("");
    terminal.write(`\x1b[?25l${up}${body}\x1b[0J\x1b[?25h`);
    drawn = lines.length;
  };
  const stop = () => {
    if (timer === undefined) return;
    clearInterval(timer);
    timer = undefined;
    draw(true);
  };
  timer = setInterval(() => draw(), REDRAW_MS);
  return {
    event(event) {
      view = applyEvent(view, event, now() - start);
      if (timer !== undefined) draw();
      else {
        const text = plainText(event);
        if (text !== undefined) terminal.write(`${printableLine(text)}\n`);
      }
    },
    settle: stop,
    [Symbol.dispose]: stop,
  };
}
