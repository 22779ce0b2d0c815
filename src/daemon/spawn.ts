/**
 * Starting a daemon process, by one of two ways that look the same from outside:
 *
 *   spawn        our own executable, in its own session; readiness is one line over its stdout pipe
 *   systemd-run  a transient unit of the user's manager, for hosts that end a login's processes
 *
 * Either resolves with what the new process said, or rejects with why there is none.
 */
import { libc } from "../../ffi/libc.ts";
import { withDeadline } from "../base/deadline.ts";
import { RumError } from "../base/errors.ts";
import { printableLine } from "../base/printable.ts";
import type { MachinePaths } from "../plan/paths.ts";
import type { Readiness } from "../protocol/daemon.ts";
import { logTail } from "./daemon_log.ts";
import { daemonEnv } from "./self_command.ts";

export interface SpawnOptions {
  readonly id: string;
  readonly paths: Pick<MachinePaths, "daemonLog">;
  /** What to run, absolute. */
  readonly command: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly timeoutMs: number;
  readonly signal?: AbortSignal;
}

/** @throws {RumError} `daemon_failed` with the tail of its log, `timeout` */
export async function spawnDaemon(options: SpawnOptions): Promise<Readiness> {
  const { command, env, paths } = options;
  keepDescriptorsHere();
  const child = new Deno.Command(command[0], {
    args: [...command.slice(1)],
    cwd: "/",
    env: daemonEnv(env),
    clearEnv: true,
    detached: true,
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  child.unref();
  const lines = readLines(child.stdout);
  const complaints = collect(child.stderr);
  try {
    return await withDeadline({
      waitingFor: `The background process ${child.pid}`,
      timeoutMs: options.timeoutMs,
      signal: options.signal,
      hint: `tail ${paths.daemonLog}`,
    }, async () => {
      for await (const line of lines) {
        const readiness = parseReadiness(line);
        if (readiness !== undefined) return readiness;
      }
      const { code, signal } = await child.status;
      const said = [...complaints.lines(), ...await logTail(paths.daemonLog, 5)];
      throw new RumError(
        "daemon_failed",
        `The background process ended before it was ready (${signal ?? `exit ${code}`})` +
          (said.length === 0 ? "" : `; it said last: ${said.slice(-5).join(" | ")}`),
        { hint: `less ${paths.daemonLog}` },
      );
    });
  } finally {
    await lines.return?.();
    await complaints.stop();
  }
}

/** @throws {RumError} `daemon_failed` with what systemd-run said */
export async function systemdRunDaemon(options: SpawnOptions): Promise<void> {
  const { id, command, env, timeoutMs, signal } = options;
  const keep = Object.entries(daemonEnv(env)).filter(([name]) => PASSED_ON.test(name));
  const child = new Deno.Command("systemd-run", {
    args: [
      "--user",
      "--quiet",
      "--collect",
      `--unit=rum-${id}`,
      "--property=Type=notify",
      "--property=NotifyAccess=all",
      // An embedded hypervisor's machine is a child of the daemon and must outlive it.
      "--property=KillMode=process",
      "--working-directory=/",
      ...keep.map(([name, value]) => `--setenv=${name}=${value}`),
      "--",
      ...command,
    ],
    stdin: "null",
    stdout: "null",
    stderr: "piped",
  }).spawn();
  const complaints = collect(child.stderr);
  try {
    const status = await withDeadline(
      { waitingFor: "systemd-run", timeoutMs, signal },
      () => child.status,
    );
    if (status.success) return;
    throw new RumError(
      "daemon_failed",
      `systemd-run failed: ${complaints.lines().slice(-3).join(" | ") || `exit ${status.code}`}`,
    );
  } catch (thrown) {
    try {
      child.kill("SIGKILL");
    } catch {
      // It has ended.
    }
    throw thrown;
  } finally {
    await complaints.stop();
  }
}

/** No secret travels in a unit's properties: names of places and rum's own switches only. */
const PASSED_ON =
  /^(HOME|PATH|LANG|USER|LOGNAME|XDG_[A-Z_]+|RUM_[A-Z_]+|DENO_[A-Z_]+|MALLOC_ARENA_MAX)$/;

export function parseReadiness(line: string): Readiness | undefined {
  try {
    const value = JSON.parse(line);
    return typeof value?.ready === "boolean" ? value as Readiness : undefined;
  } catch {
    return undefined;
  }
}

async function* readLines(stream: ReadableStream<Uint8Array>): AsyncGenerator<string, void, void> {
  const reader = stream.getReader();
  const decoder = new TextDecoder();
  let text = "";
  try {
    for (let part = await reader.read(); !part.done; part = await reader.read()) {
      text += decoder.decode(part.value, { stream: true });
      const lines = text.split("\n");
      text = lines.pop()!.slice(-64 * 1024);
      yield* lines;
    }
  } finally {
    await reader.cancel().catch(() => {});
  }
}

/** Keeps the last of what a child complains, so that its pipe never fills up. */
function collect(stream: ReadableStream<Uint8Array>) {
  const reader = stream.getReader();
  const decoder = new TextDecoder();
  let text = "";
  const done = (async () => {
    for (let part = await reader.read(); !part.done; part = await reader.read()) {
      text = (text + decoder.decode(part.value, { stream: true })).slice(-16 * 1024);
    }
  })().catch(() => {});
  return {
    lines: () =>
      text.split("\n").map((line) => printableLine(line, 500).trim()).filter((line) => line !== ""),
    async stop() {
      await reader.cancel().catch(() => {});
      await done;
    },
  };
}

const CLOSE_RANGE_CLOEXEC = 4;

/**
 * Whatever our own starter left open (a lock of `flock`, a pipe of a CI job) stays ours: a daemon,
 * and QEMU below it, would hold it for as long as the machine lives. A C library or kernel without
 * the call leaves things as they are.
 */
function keepDescriptorsHere(): void {
  try {
    libc("close_range")(3, 0xffffffff, CLOSE_RANGE_CLOEXEC);
  } catch {
    // glibc before 2.34.
  }
}
