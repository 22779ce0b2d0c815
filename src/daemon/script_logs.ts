/** Each script's own log on the host, and the events that tell of it to whoever follows. */
import { printableLine } from "../base/printable.ts";
import type { MachinePaths } from "../plan/paths.ts";
import type { ProvisionEvent } from "../protocol/agent.ts";
import type { EventBody } from "../protocol/machine_events.ts";
import { type LineLog, openLineLog } from "../store/line_log.ts";

export interface ScriptLogs extends AsyncDisposable {
  /** Takes one event of the agent's provisioning; awaiting it keeps memory flat. */
  take(event: ProvisionEvent): Promise<void>;
  /** The newest output this host has, for a later connection to go on from. */
  readonly have: { readonly bootId: string; readonly seq: number } | undefined;
  setBoot(bootId: string): void;
}

export function createScriptLogs(
  paths: MachinePaths,
  emit: (event: EventBody) => void,
): ScriptLogs {
  const open = new Map<string, LineLog>();
  let bootId = "";
  let seq = 0;
  const logOf = (script: string) => {
    let log = open.get(script);
    if (log === undefined) {
      log = openLineLog(paths.scriptLog(script));
      open.set(script, log);
    }
    return log;
  };
  return {
    get have() {
      return bootId === "" ? undefined : { bootId, seq };
    },
    setBoot(id) {
      if (id === bootId) return;
      bootId = id;
      seq = 0;
    },
    async take(event) {
      seq = Math.max(seq, event.seq);
      const script = event.script ?? "provision";
      const log = logOf(script);
      const at = new Date(event.at);
      switch (event.kind) {
        case "waiting":
        case "note":
          log.line(at, "err", `[${event.message ?? event.kind}]`);
          emit({ kind: "note", text: printableLine(event.message ?? "") });
          break;
        case "started":
          log.line(at, "err", `[started, boot ${bootId.slice(0, 8)}]`);
          emit({ kind: "script", script, state: "started", log: log.path });
          break;
        case "lines":
          for (const line of event.lines ?? []) {
            const text = printableLine(line.text, 64 * 1024);
            log.line(new Date(line.at), line.stream, text);
            emit({ kind: "line", script, stream: line.stream, text });
          }
          break;
        case "ended": {
          const code = event.code ?? 0;
          log.line(at, "err", `[ended with ${code}]`);
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
          log.line(at, "err", `[${event.count ?? 0} earlier lines are gone]`);
          break;
      }
      // Whoever is told that it ended may look into its log at once.
      await (event.kind === "ended" ? log.flush() : log.ready());
    },
    async [Symbol.asyncDispose]() {
      await Promise.all([...open.values()].map((log) => log.close()));
      open.clear();
    },
  };
}
