/**
 * A command on a terminal of its own: one stream of output, window size, job control, and the
 * terminal's own end of input. When the client goes the session is hung up, as by a lost modem.
 */
import { errno, libc } from "../../ffi/libc.ts";
import type { ExecParams, ExecResult } from "../../src/protocol/agent.ts";
import { KIND } from "../../src/protocol/calls.ts";
import type { Call } from "../call.ts";
import type { AgentContext } from "../context.ts";
import type { Command } from "./command.ts";
import { findProgram } from "./command.ts";
import { Poller, POLLIN, POLLOUT } from "./poller.ts";
import { openPidfd, openTerminal, reap, resizeTerminal, spawnOnTerminal } from "./pty_child.ts";
import { endSession, send } from "./session_end.ts";

const EAGAIN = 11;
const EINTR = 4;
const CHUNK = 32 * 1024;
const END_OF_TRANSMISSION = Uint8Array.of(4);

const poller = new Poller();

/** Nothing of any terminal is under way in this process. */
export const terminalsAtRest = (): Promise<void> => poller.atRest;

export async function runOnPty(
  call: Call,
  context: AgentContext,
  command: Command,
  size: NonNullable<ExecParams["pty"]>,
): Promise<ExecResult> {
  const { master, slavePath } = openTerminal(size.cols, size.rows);
  let pid: number;
  try {
    await Deno.chown(slavePath, command.account.uid, null);
    pid = spawnOnTerminal({
      path: await findProgram(command.argv[0], command.env.PATH, command.cwd),
      argv: command.argv,
      env: command.env,
      cwd: command.cwd,
      slavePath,
    });
  } catch (error) {
    libc("close")(master);
    throw error;
  }
  const id = context.execs.add({
    pid,
    signal: (name) => send(-pid, name),
    resize: (cols, rows) => resizeTerminal(master, cols, rows),
    end: () => endSession(pid, "SIGHUP"),
  });
  let open = true;
  const gone = Promise.withResolvers<never>();
  gone.promise.catch(() => {});
  const onAbort = () => gone.reject(call.signal.reason);
  if (call.signal.aborted) onAbort();
  call.signal.addEventListener("abort", onAbort, { once: true });
  const exited = exitOf(pid);
  try {
    await call.event({ exec: id, pid });
    feed(call, master, () => open);
    const ended = exited.then((result) => {
      // What the child wrote is in the terminal's buffer; who holds it open beyond is background.
      over = true;
      poller.forget(master);
      return result;
    });
    let over = false;
    const [result] = await Promise.race([
      Promise.all([ended, copyOut(call, master, () => over)]),
      gone.promise,
    ]);
    return result;
  } catch (error) {
    await endSession(pid, "SIGHUP");
    await exited;
    throw error;
  } finally {
    open = false;
    call.signal.removeEventListener("abort", onAbort);
    poller.forget(master);
    libc("close")(master);
    context.execs.remove(id);
  }
}

async function exitOf(pid: number): Promise<ExecResult> {
  const pidfd = openPidfd(pid);
  try {
    for (;;) {
      const found = reap(pid);
      if (found !== undefined) return found;
      await poller.ready(pidfd, POLLIN);
    }
  } finally {
    poller.forget(pidfd);
    libc("close")(pidfd);
  }
}

/** Until nobody holds the slave (EIO), or the child is over and the buffer empty. */
async function copyOut(call: Call, master: number, over: () => boolean): Promise<void> {
  for (;;) {
    const buffer = new Uint8Array(CHUNK);
    const filled = Number(libc("read")(master, buffer, BigInt(CHUNK)));
    if (filled > 0) {
      await call.bytes(KIND.out, buffer.subarray(0, filled));
      if (call.signal.aborted) return;
      continue;
    }
    const code = filled < 0 ? errno() : 0;
    if (code === EINTR) continue;
    if (code !== EAGAIN || over()) return;
    await poller.ready(master, POLLIN);
  }
}

/** Data records are keystrokes; the end of input is the terminal's own ^D. Never rejects. */
async function feed(call: Call, master: number, open: () => boolean): Promise<void> {
  try {
    for (;;) {
      const record = await call.records.next();
      if (record === undefined || !open()) return;
      if (record.kind === KIND.data) await writeAll(master, record.payload, open);
      else if (record.kind === KIND.end) await writeAll(master, END_OF_TRANSMISSION, open);
    }
  } catch {
    // The call ended: its signal tells the rest.
  }
}

async function writeAll(master: number, bytes: Uint8Array, open: () => boolean): Promise<void> {
  let rest = bytes;
  while (rest.length > 0 && open()) {
    const taken = Number(
      libc("write")(master, rest as Uint8Array<ArrayBuffer>, BigInt(rest.length)),
    );
    if (taken > 0) rest = rest.subarray(taken);
    else if (errno() === EAGAIN) await poller.ready(master, POLLOUT);
    else if (errno() !== EINTR) return;
  }
}
