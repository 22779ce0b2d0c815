/**
 * Ending everything that a command started. Each command gets a session of its own, and the session
 * outlives process groups (a shell with job control makes one per job), so the session is what is
 * ended: a polite signal to every member, two seconds, then KILL. Who called setsid itself meant to
 * stay and does.
 */
const GRACE_MS = 2000;
const LOOK_MS = 20;

export interface Process {
  readonly pid: number;
  readonly parent: number;
  readonly session: number;
  readonly zombie: boolean;
}

export async function endSession(
  session: number,
  polite: Deno.Signal,
  options: { graceMs?: number } = {},
): Promise<void> {
  let members = sessionMembers(session);
  for (const pid of members) send(pid, polite);
  const until = performance.now() + (options.graceMs ?? GRACE_MS);
  while (members.length > 0 && performance.now() < until) {
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
    members = sessionMembers(session);
  }
  // A member may fork between the look and the signal: look until there is nobody left.
  for (let round = 0; members.length > 0 && round < 50; round++) {
    for (const pid of members) send(pid, "SIGKILL");
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
    members = sessionMembers(session);
  }
}

export function sessionMembers(session: number): number[] {
  const members: number[] = [];
  for (const entry of Deno.readDirSync("/proc")) {
    const first = entry.name.charCodeAt(0);
    if (first < 0x31 || first > 0x39) continue;
    try {
      const found = parseStat(Deno.readTextFileSync(`/proc/${entry.name}/stat`));
      if (found === undefined || found.zombie) continue;
      // Our child that is still on its way to be the session's leader is the session already.
      const leader = found.pid === session && found.parent === Deno.pid;
      if (leader || found.session === session) members.push(found.pid);
    } catch {
      // It ended while we looked.
    }
  }
  return members;
}

/** The name in parentheses may hold anything, also ") Z 1": fields count from the last one. */
export function parseStat(line: string): Process | undefined {
  const close = line.lastIndexOf(")");
  if (close < 0) return undefined;
  const fields = line.slice(close + 2).split(" ");
  return {
    pid: parseInt(line, 10),
    parent: Number(fields[1]),
    session: Number(fields[3]),
    zombie: fields[0] === "Z" || fields[0] === "X",
  };
}

/** Signals a leader's group; the leader alone as long as it has not made its group. */
export function sendGroup(leader: number, signal: Deno.Signal): void {
  try {
    Deno.kill(-leader, signal);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    send(leader, signal);
  }
}

/** Signals one process, or with a negative number its group; that it is gone is no failure. */
export function send(pid: number, signal: Deno.Signal): void {
  try {
    Deno.kill(pid, signal);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound) && !(error instanceof TypeError)) throw error;
  }
}
