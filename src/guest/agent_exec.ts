/** exec over the agent: bytes exact, streams separate, the host's own pace felt by the guest. */
import {
  empty,
  type ExecParams,
  type ExecResult,
  execResult,
  execStarted,
} from "../protocol/agent.ts";
import { KIND } from "../protocol/calls.ts";
import type { Mux } from "../wire/mux_types.ts";
import { AgentCall } from "./agent_call.ts";

export interface ExecStreams {
  /** Read to its end, which the program sees as the end of its stdin. */
  readonly stdin?: ReadableStream<Uint8Array>;
  /** Awaited before more is taken from the guest. */
  stdout(bytes: Uint8Array): void | Promise<void>;
  stderr(bytes: Uint8Array): void | Promise<void>;
}

export interface ExecControl {
  readonly pid: number;
  /** `SIGINT`, `SIGTERM` …, to the program's group. */
  signal(name: string): Promise<void>;
  resize(cols: number, rows: number): Promise<void>;
}

export interface ExecOptions {
  readonly signal?: AbortSignal;
  readonly onStarted?: (control: ExecControl) => void;
}

export async function execInGuest(
  mux: Mux,
  params: Omit<ExecParams, "stdin">,
  streams: ExecStreams,
  options: ExecOptions = {},
): Promise<ExecResult> {
  const stdin = streams.stdin?.getReader();
  await using call = await AgentCall.open(
    mux,
    "exec",
    { ...params, stdin: stdin !== undefined },
    options,
  ).catch((error) => {
    stdin?.releaseLock();
    throw error;
  });
  let over = false;
  if (stdin !== undefined) feed(call, stdin, () => over);
  try {
    for (;;) {
      const next = await call.next(execResult);
      if (next.kind === "final") return next.value;
      const { kind, payload } = next.record;
      if (kind === KIND.out) await streams.stdout(payload);
      else if (kind === KIND.err) await streams.stderr(payload);
      else if (kind === KIND.event) {
        const started = call.read(next.record, execStarted);
        options.onStarted?.(control(mux, started.exec, started.pid));
      } else throw call.lied(`sent a record of kind ${kind} as output`);
    }
  } finally {
    over = true;
    // A pending read ends here; what was not read stays with the stream's owner. A pending write
    // is not waited for: it may stand for ever before a program that never reads.
    stdin?.releaseLock();
  }
}

/** Never rejects: that the program stopped reading is told by its end. */
async function feed(
  call: AgentCall,
  stdin: ReadableStreamDefaultReader<Uint8Array>,
  over: () => boolean,
): Promise<void> {
  try {
    for (;;) {
      const next = await stdin.read();
      if (over()) return;
      if (next.done) break;
      await call.data(next.value);
    }
    await call.send(KIND.end, {});
  } catch {
    // The call ended first, or the lock was taken back.
  }
}

function control(mux: Mux, exec: number, pid: number): ExecControl {
  const ask = async (method: string, params: unknown) => {
    await using call = await AgentCall.open(mux, method, params);
    await call.result(empty);
  };
  return {
    pid,
    signal: (name) => ask("signal", { exec, signal: name }),
    resize: (cols, rows) => ask("resize", { exec, cols, rows }),
  };
}
