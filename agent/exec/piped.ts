/**
 * A command on pipes: stdin from the call's data records, stdout and stderr as separate records,
 * byte for byte, with the host's pace felt by the program. The answer comes when the program ended
 * and both outputs are drained, not at the first end of one of them.
 *
 * A background child may keep an output open for ever. After the program's own end an output that
 * stays silent for a while counts as drained: everything the program wrote is in the pipe by then.
 */
import { patientTimer } from "../../src/base/patient_timer.ts";
import { KIND } from "../../src/protocol/calls.ts";
import type { ExecResult } from "../../src/protocol/agent.ts";
import type { Call } from "../call.ts";
import type { AgentContext } from "../context.ts";
import type { Command } from "./command.ts";
import { endSession, sendGroup } from "./session_end.ts";
import { spawnFailed } from "./spawn_failed.ts";

const SILENT_MS = 250;

export async function runPiped(
  call: Call,
  context: AgentContext,
  command: Command,
  stdin: boolean,
): Promise<ExecResult> {
  const { argv, detached } = await inNewSession(command.argv);
  const [program, ...args] = argv;
  let child: Deno.ChildProcess;
  try {
    child = new Deno.Command(program, {
      args,
      cwd: command.cwd,
      env: command.env,
      clearEnv: true,
      stdin: stdin ? "piped" : "null",
      stdout: "piped",
      stderr: "piped",
      detached,
    }).spawn();
  } catch (error) {
    throw spawnFailed(command.argv[0], error);
  }
  const { pid } = child;
  const id = context.execs.add({
    pid,
    signal: (name) => sendGroup(pid, name),
    end: () => endSession(pid, "SIGTERM"),
  });
  const ended = child.status;
  const gone = new Promise<never>((_, reject) => {
    const leave = () => reject(call.signal.reason);
    if (call.signal.aborted) leave();
    else call.signal.addEventListener("abort", leave, { once: true });
  });
  gone.catch(() => {});
  try {
    await call.event({ exec: id, pid });
    const feeding = stdin ? feed(call, child.stdin) : undefined;
    const [status] = await Promise.race([
      Promise.all([
        ended,
        drain(child.stdout, (bytes) => call.bytes(KIND.out, bytes), ended),
        drain(child.stderr, (bytes) => call.bytes(KIND.err, bytes), ended),
      ]),
      gone,
    ]);
    await feeding?.stop();
    return status.signal === null
      ? { code: status.code & 0xff }
      : { code: status.code & 0xff, signal: status.signal };
  } catch (error) {
    // The client went: so does everything that it started.
    await endSession(pid, "SIGTERM");
    await Promise.allSettled([child.stdout.cancel(), child.stderr.cancel(), ended]);
    throw error;
  } finally {
    context.execs.remove(id);
  }
}

const SETSID = "/usr/bin/setsid";
let setsid: Promise<boolean> | undefined;

/**
 * A session of its own by util-linux's setsid, which execs in place (same pid). `detached` would do it
 * by fork, whose price grows with this process: 10 ms and more natively at 100 MiB, during which
 * nothing else here is served. A guest without that tool pays it.
 */
async function inNewSession(
  argv: readonly string[],
): Promise<{ argv: readonly string[]; detached: boolean }> {
  setsid ??= Deno.stat(SETSID).then((found) => found.isFile, () => false);
  return await setsid
    ? { argv: [SETSID, "--", ...argv], detached: false }
    : { argv, detached: true };
}

/** Copies data records to the program; a program that closed its stdin just gets no more. */
function feed(call: Call, stdin: WritableStream<Uint8Array>): { stop(): Promise<void> } {
  const writer = stdin.getWriter();
  writer.closed.catch(() => {});
  let deaf = false;
  (async () => {
    for (;;) {
      const record = await call.records.next();
      if (record === undefined || record.kind === KIND.end) break;
      if (record.kind !== KIND.data || deaf) continue;
      await writer.write(record.payload).catch(() => deaf = true);
    }
    await writer.close();
  })().catch(() => writer.abort().catch(() => {}));
  return {
    // The loop itself ends with the call: what the host still sends is read and dropped.
    async stop() {
      deaf = true;
      await writer.abort().catch(() => {});
    },
  };
}

export async function drain(
  stream: ReadableStream<Uint8Array>,
  take: (bytes: Uint8Array) => Promise<void>,
  ended: Promise<unknown>,
): Promise<void> {
  const reader = stream.getReader();
  let state: "running" | "ended" | "left" = "running";
  let silence: ReturnType<typeof patientTimer> | undefined;
  // Silence counts while we listen, not while the host is slow to take what we have.
  let reading = true;
  // Cancelling ends the pending read: a race against a long-lived promise would grow with each read.
  const arm = () => {
    silence?.cancel();
    if (state !== "ended" || !reading) return;
    silence = patientTimer(SILENT_MS, () => void reader.cancel().catch(() => {}));
  };
  ended.then(() => {
    if (state === "running") state = "ended";
    arm();
  });
  try {
    for (;;) {
      const next = await reader.read();
      if (next.done) break;
      silence?.cancel();
      reading = false;
      await take(next.value);
      reading = true;
      arm();
    }
  } finally {
    state = "left";
    silence?.cancel();
    await reader.cancel().catch(() => {});
  }
}
