/** The rows of the bench, each a function from a rig to pairs taken turn by turn. */
import assert from "node:assert/strict";
import { rumPaths } from "../../src/plan/paths.ts";
import { listImages } from "../../src/store/image_cache.ts";
import { bootOver, machineToml } from "../support/machine.ts";
import { rumCommand, type Sandbox, sandbox, sharedCache } from "../support/rum.ts";
import { bareBoot } from "./bare_qemu.ts";
import { cost, cpuOf, residentMiB } from "./measure.ts";
import { median, type Row } from "./table.ts";
import {
  measureCopies,
  type Measured,
  measureExec,
  measureForwards,
  measureLink,
  prepareRig,
} from "./ways_measure.ts";

export interface Wanted {
  readonly pairs: number;
  wants(id: string): boolean;
  say(line: string): void;
}

const EMPTY = "an empty `deno run`";

/** Commands about an absent machine, each against a deno that does nothing. */
export async function commandRows({ pairs, wants }: Wanted): Promise<Row[]> {
  await using box = await sandbox({ prefix: "rum-bench-" });
  await box.config(await machineToml({ name: "bench" }));
  const empty = `${box.home}/empty.js`;
  await Deno.writeTextFile(empty, "");
  const peer = [Deno.execPath(), "run", "--quiet", "--no-config", "--cached-only", "-A", empty];
  const rows: Row[] = [];
  for (const verb of ["--help", "version", "status", "list", "config check"]) {
    const id = verb.split(" ")[0].replace("--", "");
    if (!wants(id)) continue;
    const options = { cwd: box.project, env: box.env };
    const ours = [...rumCommand(), ...verb.split(" ")];
    await cost(ours, options);
    const taken: Row["pairs"][number][] = [];
    for (let n = 0; n < pairs * 5; n++) {
      const [a, b] = [await cost(ours, options), await cost(peer, options)];
      taken.push({ ours: a.wallMs, peer: b.wallMs });
    }
    rows.push({ id, what: `\`rum ${verb}\``, peer: EMPTY, unit: "ms", pairs: taken });
  }
  return rows;
}

/** First and second `up -d` to an answered `exec`, rum's own processor time, against bare QEMU. */
export async function bootRows({ pairs, say }: Wanted): Promise<Row[]> {
  const paths = rumPaths({ uid: Deno.uid() ?? 0, home: "/", xdgCacheHome: sharedCache() });
  const toml = await machineToml({ name: "bench" });
  const first: Row["pairs"][number][] = [];
  const second: Row["pairs"][number][] = [];
  const cpu: Row["pairs"][number][] = [];
  const phases: Record<string, number>[] = [];
  const barePhases: Record<string, number>[] = [];
  for (let n = 0; n < pairs; n++) {
    await using box = await sandbox({ prefix: "rum-bench-" });
    await box.config(toml);
    const { plan } = (await box.ok(["up", "--dry-run", "-o", "json"])).json;
    const one = await upToExec(box);
    const rumCpu = one.clientCpuMs + cpuOf(await daemonPid(box));
    await box.ok(["down"]);
    const two = await upToExec(box);
    await box.ok(["destroy", "-y"]);
    const bare = await bareBoot({
      image: imagePath(await listImages(paths), plan.image.base),
      kvm: plan.domainType.type === "kvm",
      cpus: plan.cpus,
      memoryMiB: plan.memoryBytes / 2 ** 20,
    });
    first.push({ ours: one.totalMs, peer: bare.totalMs });
    second.push({ ours: two.totalMs, peer: one.totalMs });
    cpu.push({ ours: rumCpu, peer: one.totalMs });
    phases.push(one.phases);
    barePhases.push({ ...bare.phases });
    say(`boot ${n + 1}: first ${one.totalMs}, second ${two.totalMs}, bare ${bare.totalMs} ms`);
  }
  const bare = "bare QEMU to its first ssh answer";
  return [
    {
      ...{ id: "boot", what: "first `up -d` to an answered `exec`", peer: bare, unit: "ms" },
      ...{ pairs: first, phases: medians(phases) },
    },
    {
      ...{ id: "boot", what: bare, peer: "itself", unit: "ms", phases: medians(barePhases) },
      pairs: first.map(({ peer }) => ({ ours: peer, peer })),
    },
    {
      ...{ id: "boot", what: "second `up -d` after `down`", peer: "the first `up -d`" },
      ...{ unit: "ms", pairs: second },
    },
    {
      ...{ id: "boot", what: "rum's own processor time in a first boot", peer: "its wall time" },
      ...{ unit: "ms", pairs: cpu },
    },
  ];
}

/** What a running machine costs and gives: daemon and agent at rest, `exec`, files, forwards. */
export async function machineRows({ pairs, wants, say }: Wanted): Promise<Row[]> {
  await using box = await sandbox({ prefix: "rum-bench-" });
  await box.config(await machineToml({ name: "bench" }));
  await box.ok(["up", "-d"], { timeoutMs: 900_000 });
  const rows: Row[] = [];
  if (wants("idle")) rows.push(...await idleRows(box, pairs));
  const ways = ["exec", "link", "cp", "forwards"].filter(wants);
  if (ways.length > 0) {
    const rig = await prepareRig(box, pairs * 2);
    const measured: [string, () => Promise<Measured[]>][] = [
      ["exec", () => measureExec(rig)],
      ["link", () => measureLink(rig)],
      ["cp", () => measureCopies(rig, 16)],
      ["forwards", () => measureForwards(rig, 16)],
    ];
    for (const [id, measure] of measured) {
      if (!wants(id)) continue;
      say(`measuring ${id}`);
      for (const { what, unit, pairs } of await measure()) {
        const peer = id === "link" ? "a new `rum exec true`" : "OpenSSH";
        rows.push({ id, what, peer, unit, pairs });
      }
    }
  }
  await box.ok(["destroy", "-y"]);
  return rows;
}

const REST_MS = 10_000;
const SETTLE_MS = 20_000;

/** At rest: the daemon beside QEMU on the host, the agent beside sshd in the guest. */
async function idleRows(box: Sandbox, pairs: number): Promise<Row[]> {
  // What a first boot leaves to be done afterwards is not rest.
  await bootOver(box);
  await new Promise((resolve) => setTimeout(resolve, SETTLE_MS));
  const { json } = await box.ok(["status", "-o", "json"]);
  const [daemon, qemu] = [json.daemon.pid as number, json.hypervisor.qemu_pid as number];
  const memory: Row["pairs"][number][] = [];
  const cpu: Row["pairs"][number][] = [];
  const agentMemory: Row["pairs"][number][] = [];
  const agentCpu: Row["pairs"][number][] = [];
  for (let n = 0; n < pairs; n++) {
    const before = [cpuOf(daemon), cpuOf(qemu), ...await guestCpu(box)];
    await new Promise((resolve) => setTimeout(resolve, REST_MS));
    const after = [cpuOf(daemon), cpuOf(qemu), ...await guestCpu(box)];
    const used = after.map((ms, i) => (ms - before[i]) / (REST_MS / 1000));
    // A clock tick is 10 ms: nothing at all is shown as less than one.
    cpu.push({ ours: used[0], peer: Math.max(used[1], 1) });
    agentCpu.push({ ours: used[2], peer: Math.max(used[1], 1) });
    memory.push({ ours: residentMiB(daemon), peer: residentMiB(qemu) });
    const [agent, sshd] = await guestMemory(box);
    agentMemory.push({ ours: agent, peer: sshd });
  }
  const row = (what: string, peer: string, unit: Row["unit"], pairs: Row["pairs"]): Row => ({
    ...{ id: "idle", what, peer, unit, pairs },
  });
  return [
    row("daemon at rest, resident", "the machine's QEMU", "MiB", memory),
    row("daemon at rest, processor per second", "the machine's QEMU", "ms/s", cpu),
    row("agent at rest, resident", "sshd in the guest", "MiB", agentMemory),
    row("agent at rest, processor per second", "the machine's QEMU", "ms/s", agentCpu),
  ];
}

const AGENT = "$(systemctl show -p MainPID --value rum-agent)";

async function guestCpu(box: Sandbox): Promise<number[]> {
  const { stdout } = await box.ok(["exec", "--", "sh", "-c", `cat /proc/${AGENT}/stat`]);
  const fields = stdout.split(") ").at(-1)!.split(" ");
  return [(Number(fields[11]) + Number(fields[12])) * 10];
}

async function guestMemory(box: Sandbox): Promise<number[]> {
  const sshd = "$(systemctl show -p MainPID --value ssh)";
  const { stdout } = await box.ok([
    ...["exec", "--", "sh", "-c", `grep -h VmRSS /proc/${AGENT}/status /proc/${sshd}/status`],
  ]);
  return [...stdout.matchAll(/(\d+) kB/g)].map(([, kib]) => Number(kib) / 1024);
}

interface Up {
  readonly totalMs: number;
  readonly clientCpuMs: number;
  readonly phases: Record<string, number>;
}

async function upToExec(box: Sandbox): Promise<Up> {
  const begun = performance.now();
  const options = { cwd: box.project, env: box.env };
  const up = await cost([...rumCommand(), "up", "-d"], options);
  const exec = await cost([...rumCommand(), "exec", "true"], options);
  const totalMs = Math.round(performance.now() - begun);
  const { stdout } = await box.ok(["events", "-o", "json"]);
  const events = stdout.trim().split("\n").map((line) => JSON.parse(line));
  const phases: Record<string, number> = {};
  const at = (event: { at: string }) => Date.parse(event.at);
  const start = events.findLastIndex((event) =>
    event.kind === "phase" && event.phase === "preparing"
  );
  for (const event of events.slice(start)) {
    if (event.kind === "phase") phases[event.text] ??= at(event) - at(events[start]);
  }
  phases["exec answered"] = totalMs;
  return { totalMs, clientCpuMs: up.cpuMs + exec.cpuMs, phases };
}

async function daemonPid(box: Sandbox): Promise<number> {
  return (await box.ok(["status", "-o", "json"])).json.daemon.pid;
}

function imagePath(images: Awaited<ReturnType<typeof listImages>>, base: string): string {
  const found = images.find(({ names }) => names.includes(base));
  assert.ok(found !== undefined, `no image "${base}" in the cache`);
  return found.path;
}

function medians(all: readonly Record<string, number>[]): Record<string, number> {
  return Object.fromEntries(
    Object.keys(all[0] ?? {}).map((name) => [
      name,
      median(all.map((phases) => phases[name]).filter((ms) => ms !== undefined)),
    ]),
  );
}
