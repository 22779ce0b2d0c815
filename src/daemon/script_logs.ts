/**
 * Each script's own log on the host, and the events that tell of it to whoever follows.
 *
 * The guest's agent keeps the output of its life and sends what a host does not have yet. What is in
 * the logs already outlives the daemon as a position: the last number of that agent's life that is
 * written, and where each log ended then. It is noted after the logs, so a killed daemon loses no
 * line; and what the logs hold behind the noted place is compared with what comes again, so it is not
 * written twice either. Where the two do not fit, a line too often is better than one too few.
 */
import { printableLine } from "../base/printable.ts";
import type { MachinePaths } from "../plan/paths.ts";
import type { HelloInfo, ProvisionEvent, ProvisionParams } from "../protocol/agent.ts";
import type { EventBody } from "../protocol/machine_events.ts";
import { type Infer, integer, object, record, text } from "../protocol/shape.ts";
import { writeFileAtomic } from "../store/atomic.ts";
import { formatLogLine, type LineLog, openLineLog, type Stream } from "../store/line_log.ts";
import { endOfLog, linesAfter, logPlace } from "../store/log_place.ts";
import { readOwnFile } from "../store/ownership.ts";

export interface ScriptLogs extends AsyncDisposable {
  /** From here on the events are of this agent's life; answers what the logs have of it. */
  resume(guest: Pick<HelloInfo, "bootId" | "instance">): Promise<ProvisionParams["have"]>;
  /** Takes one event of the agent's provisioning; awaiting it keeps memory flat. */
  take(event: ProvisionEvent): Promise<void>;
}

export interface ScriptLogsOptions {
  readonly emit: (event: EventBody) => void;
  /** Resolves when what was emitted is on disk: only then is it not told again. */
  readonly emitted: () => Promise<void>;
}

/** An agent that was replaced in the same boot counts from 1 again: its instance belongs to it. */
const position = object({
  bootId: text(64),
  instance: text(64),
  seq: integer(),
  places: record(logPlace, 256),
});
type Position = Infer<typeof position>;

/** So much of output is written between two notes of the position. */
const NOTE_EVERY = 256 * 1024;

export function createScriptLogs(paths: MachinePaths, options: ScriptLogsOptions): ScriptLogs {
  const { emit, emitted } = options;
  const open = new Map<string, LineLog>();
  let guest = { bootId: "", instance: "" };
  let seq = 0;
  let unnoted = 0;
  /** Scripts of which something came in this life of the agent. */
  let seen = new Set<string>();
  /** What the logs hold behind the noted place, the next line last. */
  const there = new Map<string, string[]>();

  const logOf = (script: string) => {
    let log = open.get(script);
    if (log === undefined) {
      log = openLineLog(paths.scriptLog(script));
      open.set(script, log);
    }
    return log;
  };
  /** False when a daemon before this one wrote the very line. */
  const write = (script: string, at: Date, stream: Stream, text: string): boolean => {
    const found = there.get(script);
    if (found?.at(-1) === formatLogLine(at, stream, text)) {
      found.pop();
      if (found.length === 0) there.delete(script);
      return false;
    }
    there.delete(script);
    logOf(script).line(at, stream, text);
    unnoted += text.length + 32;
    return true;
  };
  const note = async () => {
    // Number and places must tell of one moment: not while old lines are still to be compared.
    if (there.size > 0) return;
    await Promise.all([emitted(), ...[...open.values()].map((log) => log.flush())]);
    const places: Position["places"] = {};
    for (const script of seen) {
      const end = await endOfLog(paths.scriptLog(script));
      if (end !== undefined) places[script] = end;
    }
    unnoted = 0;
    // A full disk must not stop the scripts; the next note may succeed.
    await writeFileAtomic(paths.scriptPosition, JSON.stringify({ ...guest, seq, places }))
      .catch(() => {});
  };

  return {
    async resume({ bootId, instance }) {
      if (bootId !== guest.bootId || instance !== guest.instance) {
        const noted = await readPosition(paths.scriptPosition);
        const known = noted?.bootId === bootId && noted.instance === instance ? noted : undefined;
        guest = { bootId, instance };
        seq = known?.seq ?? 0;
        unnoted = 0;
        seen = new Set(Object.keys(known?.places ?? {}));
        there.clear();
        for (const [script, place] of Object.entries(known?.places ?? {})) {
          const lines = await linesAfter(paths.scriptLog(script), place);
          if (lines.length > 0) there.set(script, lines.reverse());
        }
      }
      return { bootId, seq };
    },
    async take(event) {
      seq = Math.max(seq, event.seq);
      const script = event.script ?? "provision";
      const log = logOf(script);
      const isFirst = !seen.has(script);
      seen.add(script);
      const at = new Date(event.at);
      switch (event.kind) {
        case "waiting":
        case "note":
          write(script, at, "err", `[${event.message ?? event.kind}]`);
          emit({ kind: "note", text: printableLine(event.message ?? "") });
          break;
        case "started":
          write(script, at, "err", `[started, boot ${guest.bootId.slice(0, 8)}]`);
          emit({ kind: "script", script, state: "started", log: log.path });
          break;
        case "lines":
          for (const line of event.lines ?? []) {
            const text = printableLine(line.text, 64 * 1024);
            if (!write(script, new Date(line.at), line.stream, text)) continue;
            emit({ kind: "line", script, stream: line.stream, text });
          }
          break;
        case "ended": {
          const code = event.code ?? 0;
          write(script, at, "err", `[ended with ${code}]`);
          there.delete(script);
          emit({
            kind: "script",
            script,
            state: code === 0 ? "passed" : "failed",
            code,
            ...(event.ms === undefined ? {} : { ms: event.ms }),
            ...(event.message === undefined ? {} : { reason: event.message }),
            log: log.path,
          });
          break;
        }
        case "dropped":
          // Where in them the next line would stand is not known any more.
          there.clear();
          write(script, at, "err", `[${event.count ?? 0} earlier lines are gone]`);
          break;
      }
      // Whoever is told that it ended may look into its log at once.
      await (event.kind === "ended" ? log.flush() : log.ready());
      if (isFirst || event.kind !== "lines" || unnoted > NOTE_EVERY) await note();
    },
    async [Symbol.asyncDispose]() {
      if (unnoted > 0) await note();
      await Promise.all([...open.values()].map((log) => log.close()));
      open.clear();
    },
  };
}

/** One that cannot be read is none: all of the output is taken again then. */
async function readPosition(path: string): Promise<Position | undefined> {
  try {
    const source = await readOwnFile(path);
    return source === undefined ? undefined : position(JSON.parse(source), "");
  } catch {
    return undefined;
  }
}
