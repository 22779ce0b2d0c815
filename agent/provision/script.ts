/**
 * One script, from its cached file: run by `sh` in a session of its own, output as timed lines,
 * ended with everything it started when its time is up or the run is called off.
 */
import type { GuestScript, ScriptLine } from "../../src/protocol/agent.ts";
import { formatDuration } from "../../src/base/units.ts";
import { drain } from "../exec/piped.ts";
import { endSession } from "../exec/session_end.ts";
import { LineBatcher, LineSplitter } from "./lines.ts";

const TAIL_LINES = 20;

export interface ScriptOutcome {
  /** Undefined when it was ended from outside. */
  readonly code: number | undefined;
  readonly reason: string;
  readonly tail: readonly string[];
  readonly ms: number;
}

export interface RunScriptOptions {
  readonly file: string;
  readonly cwd: string;
  readonly take: (lines: ScriptLine[]) => Promise<void>;
  readonly signal: AbortSignal;
}

export async function runScript(
  script: GuestScript,
  options: RunScriptOptions,
): Promise<ScriptOutcome> {
  const start = performance.now();
  const child = new Deno.Command("sh", {
    args: [options.file],
    cwd: options.cwd,
    env: scriptEnvironment(script),
    clearEnv: true,
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
    detached: true,
  }).spawn();

  let endedBy: string | undefined;
  let ending: Promise<void> | undefined;
  const end = (reason: string) => {
    endedBy ??= reason;
    ending ??= endSession(child.pid, "SIGTERM");
  };
  const onAbort = () => end("was called off");
  if (options.signal.aborted) onAbort();
  options.signal.addEventListener("abort", onAbort, { once: true });
  const timer = setTimeout(
    () => end(`took longer than ${formatDuration(script.timeoutMs)}`),
    script.timeoutMs,
  );

  const tail: string[] = [];
  const batcher = new LineBatcher(options.take);
  const copy = async (stream: ReadableStream<Uint8Array>, name: ScriptLine["stream"]) => {
    const splitter = new LineSplitter();
    const keep = async (lines: string[]) => {
      tail.push(...lines.slice(-TAIL_LINES));
      if (tail.length > TAIL_LINES) tail.splice(0, tail.length - TAIL_LINES);
      await batcher.add(name, lines);
    };
    await drain(stream, (bytes) => keep(splitter.push(bytes)), child.status);
    await keep(splitter.end());
  };
  try {
    const [status] = await Promise.all([
      child.status,
      copy(child.stdout, "out"),
      copy(child.stderr, "err"),
    ]);
    clearTimeout(timer);
    await ending;
    await batcher.flush();
    const ms = Math.round(performance.now() - start);
    if (endedBy !== undefined) return { code: undefined, reason: endedBy, tail, ms };
    const reason = status.signal === null
      ? `exited with ${status.code}`
      : `was ended by ${status.signal}`;
    return { code: status.code & 0xff, reason, tail, ms };
  } finally {
    clearTimeout(timer);
    options.signal.removeEventListener("abort", onAbort);
  }
}

function scriptEnvironment(script: GuestScript): Record<string, string> {
  return {
    PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    HOME: "/root",
    USER: "root",
    LOGNAME: "root",
    SHELL: "/bin/sh",
    LANG: "C.UTF-8",
    DEBIAN_FRONTEND: "noninteractive",
    RUM_SCRIPT: script.name,
  };
}
