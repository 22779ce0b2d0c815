/**
 * Real processes of services. Each is the leader of a session of its own, writes to its log file
 * itself (so that it outlives the agent and nothing is lost with it), and notes down who it is
 * before it becomes the program: pid, start time and generation, in one file per instance. The note
 * is written by the process and not by the agent, and until it is, the process shows the note's name
 * among its words; so there is no moment at which the agent can die and leave a process that its
 * next life does not know, and none is ever doubled.
 */
import type { ServiceSpec } from "../../src/protocol/services.ts";
import { resolveCommand } from "../exec/command.ts";
import { reap } from "../exec/pty_child.ts";
import { endSession, send, sessionMembers } from "../exec/session_end.ts";

/** $0 note file, $1 generation, $2 log file, $3 control group or "", then the words to become. */
const WRAPPER = `[ -z "$3" ] || echo $$ > "$3/cgroup.procs" || :
read -r stat < /proc/self/stat
printf '%s %s\\n' "$1" "$stat" > "$0" || exit 125
exec >> "$2" 2>&1
shift 3
exec "$@"`;

/** Hertz of /proc's clock, fixed by the kernel's interface on every platform that runs Deno. */
const TICK_MS = 10;
const ADOPTED_LOOK_MS = 500;
/** What outlives the main process gets this long before KILL. */
const LEFTOVER_GRACE_MS = 500;
/** From spawn to note, on a machine that is busy booting. */
const WRAPPER_MS = 5000;

interface Ended {
  readonly code?: number;
  readonly signal?: string;
}

export interface ServiceProcess {
  readonly pid: number;
  readonly generation: number;
  /** Since the kernel's start. */
  readonly startedUpMs: number;
  /** Resolves when it and everything in its session is gone; undefined code = not ours to know. */
  readonly ended: Promise<Ended>;
  signal(name: string): void;
}

export interface SpawnFiles {
  readonly note: string;
  readonly log: string;
  readonly root: string;
  /** A control group that is not the agent's, which its unit ends with it. */
  readonly group?: string;
}

/** @throws {RumError} `exec_failed` when user, folder or program are not there */
export async function spawnService(
  spec: ServiceSpec,
  generation: number,
  files: SpawnFiles,
): Promise<ServiceProcess> {
  const command = await resolveCommand(
    { argv: spec.command, user: spec.user, cwd: spec.cwd, env: spec.env },
    files.root,
  );
  await Deno.writeFile(files.log, new Uint8Array(0), { append: true, mode: 0o600 });
  const child = new Deno.Command("/bin/sh", {
    args: [
      "-c",
      WRAPPER,
      files.note,
      String(generation),
      files.log,
      files.group ?? "",
      ...command.argv,
    ],
    cwd: command.cwd,
    env: command.env,
    clearEnv: true,
    stdin: "null",
    stdout: "null",
    stderr: "null",
    detached: true,
  }).spawn();
  const { pid } = child;
  return {
    pid,
    generation,
    startedUpMs: uptimeMs(),
    ended: child.status.then(async (status) => {
      await endSession(pid, "SIGTERM", { graceMs: LEFTOVER_GRACE_MS });
      return endOf(status);
    }),
    signal: (name) => signalSession(pid, name),
  };
}

/** A process that an earlier life of the agent had spawned; undefined when it is gone. */
export async function findService(
  note: string,
  stop: AbortSignal,
): Promise<ServiceProcess | undefined> {
  const text = await Deno.readTextFile(note).catch(() => "");
  const space = text.indexOf(" ");
  const generation = Number(text.slice(0, space));
  const noted = parseStart(text.slice(space + 1));
  if (space < 0 || !Number.isSafeInteger(generation) || noted === undefined) return undefined;
  const { pid, ticks } = noted;
  if (!isSame(pid, ticks)) {
    reapSame(pid, ticks);
    // The leader is gone, its children may not be.
    if (leaderIsGone(pid)) await endSession(pid, "SIGTERM", { graceMs: LEFTOVER_GRACE_MS });
    return undefined;
  }
  return {
    pid,
    generation,
    startedUpMs: ticks * TICK_MS,
    ended: goneAdopted(pid, ticks, stop),
    signal: (name) => signalSession(pid, name),
  };
}

/**
 * Waits for processes that an earlier life spawned and that have not noted themselves down yet: the
 * wrapper still shows its note file among its words.
 */
export async function settleWrappers(folder: string): Promise<void> {
  const until = performance.now() + WRAPPER_MS;
  while (wrapperIn(folder) && performance.now() < until) {
    await new Promise((done) => setTimeout(done, 10));
  }
}

function wrapperIn(folder: string): boolean {
  for (const entry of Deno.readDirSync("/proc")) {
    if (!/^\d+$/.test(entry.name)) continue;
    try {
      const words = Deno.readTextFileSync(`/proc/${entry.name}/cmdline`).split("\0");
      if (words[2] === WRAPPER && words[3]?.startsWith(`${folder}/`)) return true;
    } catch {
      // It ended while we looked.
    }
  }
  return false;
}

/** No child that the runtime knows, so nobody tells us: looked at twice a second. Never settles after `stop`. */
function goneAdopted(pid: number, ticks: number, stop: AbortSignal): Promise<Ended> {
  return new Promise((resolve) => {
    const timer = setInterval(() => {
      if (isSame(pid, ticks)) return;
      clearInterval(timer);
      const end = reapSame(pid, ticks);
      endSession(pid, "SIGTERM", { graceMs: LEFTOVER_GRACE_MS }).then(() => resolve(end));
    }, ADOPTED_LOOK_MS);
    stop.addEventListener("abort", () => clearInterval(timer), { once: true });
    if (stop.aborted) clearInterval(timer);
  });
}

/**
 * An upgraded agent is the same process, so what its former life had spawned is still its child, for
 * which nobody else waits. Only that very one: its pid, in use again, may be a child that the
 * runtime waits for. Empty when it was none of ours.
 */
function reapSame(pid: number, ticks: number): Ended {
  const now = startOf(pid);
  if (now?.ticks !== ticks || !now.zombie) return {};
  const status = reap(pid);
  return status === undefined ? {} : endOf(status);
}

function endOf(
  { code, signal }: { readonly code: number; readonly signal?: string | null },
): Ended {
  return signal === undefined || signal === null
    ? { code }
    : { signal: signal.replace(/^SIG/, "") };
}

/** TERM and its like go to the process group, KILL to everybody in the session. */
function signalSession(pid: number, name: string): void {
  if (name !== "KILL") return send(-pid, `SIG${name}` as Deno.Signal);
  for (const member of sessionMembers(pid)) send(member, "SIGKILL");
}

function isSame(pid: number, ticks: number): boolean {
  const now = startOf(pid);
  return now !== undefined && now.ticks === ticks && !now.zombie;
}

function leaderIsGone(pid: number): boolean {
  return startOf(pid) === undefined;
}

function startOf(pid: number) {
  try {
    return parseStart(Deno.readTextFileSync(`/proc/${pid}/stat`));
  } catch {
    return undefined;
  }
}

/** The name in parentheses may hold anything: fields count from the last one. */
export function parseStart(
  stat: string,
): { pid: number; ticks: number; zombie: boolean } | undefined {
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const pid = parseInt(stat, 10);
  const ticks = Number(fields[19]);
  if (!Number.isSafeInteger(pid) || pid < 1 || !Number.isSafeInteger(ticks)) return undefined;
  return { pid, ticks, zombie: fields[0] === "Z" || fields[0] === "X" };
}

export function uptimeMs(): number {
  return Number(Deno.readTextFileSync("/proc/uptime").split(" ")[0]) * 1000;
}
