/**
 * An idle point: all work has paused and nothing is being killed. Then nothing may be left of what was
 * done, neither on the host nor in the guest, both sides of the sync folder are the same, and daemon
 * and agent are measured where like is compared with like.
 */
import { createHash } from "node:crypto";
import { type Bed, SERVICES, TREE } from "./bed.ts";

/** Of each figure the least of all looks. */
export interface Measured {
  /** Private memory, KiB. */
  readonly anon: number;
  readonly resident: number;
  readonly fds: number;
  readonly threads: number;
}

export interface Sample {
  readonly daemonPid: number;
  readonly agentPid: number;
  readonly daemon: Measured;
  readonly agent: Measured;
}

const SETTLE_MS = 120_000;
/** Daemon and agent give back once a minute: what is looked at is what they hold on to after that. */
const TIDY_MS = 65_000;
const LOOK_EVERY_MS = 5000;

const GUEST_LOOK = `agent=$(systemctl show -p MainPID --value rum-agent)
echo "agent $agent"
sed -n 's/^\\(RssAnon\\|VmRSS\\|Threads\\):[^0-9]*\\([0-9]*\\).*/\\1 \\2/p' /proc/$agent/status
echo "fds $(ls /proc/$agent/fd | wc -l)"
marked=$(grep -lsz '^RUM_SOAK=' /proc/[0-9]*/environ | cut -d/ -f3)
for pid in $marked; do
  [ $pid = $$ ] || [ ! -d /proc/$pid ] || echo "orphan $pid $(tr '\\0' ' ' < /proc/$pid/cmdline)"
done
for name in ${SERVICES.join(" ")}; do
  for pid in $(grep -lsz "^SOAK_SERVICE=$name" /proc/[0-9]*/environ | cut -d/ -f3); do
    [ ! -r /proc/$pid/stat ] || echo "service $name $pid $(sed 's/.*) . //; s/ .*//' /proc/$pid/stat)"
  done
done`;

/**
 * What is wrong is told as a fault; undefined when there was nothing to measure. One that is not `calm` is not
 * compared with others, so a single look is enough.
 */
export async function idlePoint(
  bed: Bed,
  { calm }: { readonly calm: boolean },
): Promise<Sample | undefined> {
  const end = bed.now + SETTLE_MS;
  for (;;) {
    const { wrong, agent, agentPid } = await look(bed);
    if (wrong.length === 0) {
      const sample = {
        daemonPid: bed.daemon,
        agentPid,
        daemon: await measureHere(bed.daemon),
        agent,
      };
      return calm ? await leastOf(bed, sample) : sample;
    }
    if (bed.now > end) {
      for (const each of wrong) bed.tally.fault(`left at an idle point: ${each}`);
      return undefined;
    }
    await pause(2000);
  }
}

async function look(
  bed: Bed,
): Promise<{ wrong: string[]; agent: Measured; agentPid: number }> {
  const wrong = [...orphansHere(bed)];
  const lines = await linesOfGuest(bed);
  const status = await bed.status();
  bed.daemon = status.daemon.pid;

  for (const line of lines) if (line.startsWith("orphan ")) wrong.push(`in the guest: ${line}`);
  for (const name of SERVICES) {
    const found = lines.filter((line) => line.startsWith(`service ${name} `))
      .map((line) => line.split(" ").slice(2).map(Number));
    const pids = new Set(found.map(([pid]) => pid));
    const roots = found.filter(([, parent]) => !pids.has(parent)).map(([pid]) => pid);
    // One that a hand stopped when its agent was killed, and never got to start again, has no process.
    const supervised = (status.services as { name: string; pid?: number }[])
      .flatMap((row) => row.name === name && row.pid !== undefined ? [row.pid] : []);
    if (roots.toSorted().join() !== supervised.toSorted().join()) {
      wrong.push(
        `service ${name} runs as ${roots.join(", ")}, status says ${supervised.join(", ")}`,
      );
    }
    if (name === "echo" && pids.size !== roots.length) {
      wrong.push(`${pids.size - roots.length} forwarded connections are open in the guest`);
    }
  }
  for (const row of status.forwards as { guest: number; active?: number; state: string }[]) {
    if (row.active !== 0) wrong.push(`forward ${row.guest} has ${row.active} open connections`);
    if (row.state !== "listening") wrong.push(`forward ${row.guest} is ${row.state}`);
  }
  if (status.degraded.length > 0) wrong.push(`degraded: ${status.degraded.join("; ")}`);
  if (wrong.length === 0) wrong.push(...await treesDiffer(bed));
  return { wrong, agentPid: numberIn(lines, "agent"), agent: measuredIn(lines) };
}

/** What has our home in its environment and is neither the daemon, nor QEMU, nor started for this look. */
function* orphansHere(bed: Bed): Generator<string> {
  for (const { name } of Deno.readDirSync("/proc")) {
    if (!/^\d+$/.test(name) || Number(name) === bed.daemon) continue;
    try {
      if (!Deno.readTextFileSync(`/proc/${name}/environ`).includes(`HOME=${bed.box.home}\0`)) {
        continue;
      }
      const command = Deno.readTextFileSync(`/proc/${name}/cmdline`).replaceAll("\0", " ");
      if (command !== "" && !/qemu-system|virtiofsd/.test(command)) {
        yield `process ${name} on the host: ${command.slice(0, 200)}`;
      }
    } catch {
      // Gone, which is as it should be.
    }
  }
}

async function treesDiffer(bed: Bed): Promise<string[]> {
  const here = new Map<string, string>();
  const walk = async (folder: string) => {
    for await (const entry of Deno.readDir(folder)) {
      const path = `${folder}/${entry.name}`;
      if (entry.isDirectory) await walk(path);
      else {
        const digest = createHash("sha256").update(await Deno.readFile(path)).digest("hex");
        here.set(path.slice(bed.box.project.length + "/tree/".length), digest);
      }
    }
  };
  await walk(`${bed.box.project}/tree`);
  const { text } = await bed.guest([
    "sh",
    "-c",
    `cd ${TREE} && find . -type f -exec sha256sum {} +`,
  ]);
  const there = new Map(
    text.split("\n").filter((line) => line !== "").map((
      line,
    ) => [line.slice(68), line.slice(0, 64)]),
  );
  const names = new Set([...here.keys(), ...there.keys()]);
  return [...names].filter((name) => here.get(name) !== there.get(name))
    .map((name) =>
      `sync folder: ${name} is ${here.get(name)?.slice(0, 8) ?? "absent"} here and ` +
      `${there.get(name)?.slice(0, 8) ?? "absent"} in the guest`
    );
}

async function leastOf(bed: Bed, first: Sample): Promise<Sample> {
  let { daemon, agent } = first;
  for (const end = bed.now + TIDY_MS; bed.now < end;) {
    await pause(LOOK_EVERY_MS);
    daemon = least(daemon, await measureHere(bed.daemon));
    agent = least(agent, measuredIn(await linesOfGuest(bed)));
  }
  return { ...first, daemon, agent };
}

function least(a: Measured, b: Measured): Measured {
  return {
    anon: Math.min(a.anon, b.anon),
    resident: Math.min(a.resident, b.resident),
    fds: Math.min(a.fds, b.fds),
    threads: Math.min(a.threads, b.threads),
  };
}

async function measureHere(pid: number): Promise<Measured> {
  const status = await Deno.readTextFile(`/proc/${pid}/status`);
  const number = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+)`, "m").exec(status)![1]);
  return {
    anon: number("RssAnon"),
    resident: number("VmRSS"),
    fds: [...Deno.readDirSync(`/proc/${pid}/fd`)].length,
    threads: number("Threads"),
  };
}

async function linesOfGuest(bed: Bed): Promise<string[]> {
  return (await bed.guest(["sh", "-c", GUEST_LOOK])).text.split("\n");
}

function numberIn(lines: readonly string[], name: string): number {
  return Number(lines.find((line) => line.startsWith(`${name} `))?.split(" ")[1]);
}

function measuredIn(lines: readonly string[]): Measured {
  return {
    anon: numberIn(lines, "RssAnon"),
    resident: numberIn(lines, "VmRSS"),
    fds: numberIn(lines, "fds"),
    threads: numberIn(lines, "Threads"),
  };
}

const pause = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));
