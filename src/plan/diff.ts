/**
 * What changed between the plan a machine was made with and the one that rum.toml asks for now, and
 * what each change needs (SPEC section 5, "every `up` re-plans"):
 *
 *   live       applied to the running machine, by the daemon or the agent
 *   restart    takes effect at the next start of the machine
 *   reset      needs a new disk (`rum up --reset`), because the old one cannot become it
 *   provision  scripts ran already; `rum provision --system` runs them again
 *
 * One table, a row for each key. A key that is not here is derived from others (MACs, paths, names)
 * or says nothing about the machine (reasons, warnings). Values of a service's environment never
 * show up in `from` and `to`: they may be secrets.
 */
import { formatDuration, formatSize } from "../base/units.ts";
import type { PlannedDrive, PlannedMount, RecordedPlan } from "./types.ts";

export type How = "live" | "restart" | "reset" | "provision";

export interface Change {
  /** As in rum.toml: `resources.memory`, `drives.data`. */
  readonly key: string;
  readonly from: string;
  readonly to: string;
  readonly how: How;
  /** One sentence for people. */
  readonly say: string;
}

interface Row {
  readonly key: string;
  readonly how: How | ((from: RecordedPlan, to: RecordedPlan) => How);
  /** What is compared; anything JSON. */
  readonly of: (plan: RecordedPlan) => unknown;
  /** How it is shown; default: the compared value itself. */
  readonly show?: (plan: RecordedPlan) => string;
}

const ROWS: readonly Row[] = [
  { key: "name", how: "restart", of: (p) => p.name },
  {
    key: "image.base",
    how: "reset",
    of: (p) => [p.image.base, p.image.sha256],
    show: (p) => p.image.base + (p.image.sha256 ? ` (${p.image.sha256.slice(0, 12)}…)` : ""),
  },
  { key: "advanced.libvirt_uri", how: "reset", of: (p) => p.hypervisor.uri },
  { key: "advanced.domain_type", how: "restart", of: (p) => p.domainType.type },
  { key: "advanced.machine", how: "restart", of: (p) => p.machineType },
  { key: "advanced.cpu", how: "restart", of: (p) => p.cpuModel },
  { key: "advanced.transport", how: "restart", of: (p) => p.transport.kind },
  { key: "advanced.autologin", how: "restart", of: (p) => p.autologin },
  {
    key: "advanced.shutdown_timeout",
    how: "live",
    of: (p) => p.shutdownTimeoutMs,
    show: (p) => formatDuration(p.shutdownTimeoutMs),
  },
  { key: "resources.cpus", how: "restart", of: (p) => p.cpus },
  {
    key: "resources.memory",
    how: "restart",
    of: (p) => p.memoryBytes,
    show: (p) => formatSize(p.memoryBytes),
  },
  {
    key: "resources.disk",
    how: (from, to) => to.diskBytes > from.diskBytes ? "restart" : "reset",
    of: (p) => p.diskBytes,
    show: (p) => formatSize(p.diskBytes),
  },
  { key: "network.hostname", how: "live", of: (p) => p.hostname },
  {
    key: "network",
    how: "restart",
    of: (p) => [p.nics, p.networks.map((n) => [n.name, n.forward, n.subnet, n.reservations])],
    show: (p) =>
      list(
        p.nics.map((n) =>
          n.kind === "user" ? "user-mode" : `${n.network}${n.ip === undefined ? "" : ` ${n.ip}`}`
        ),
      ),
  },
  { key: "user", how: "live", of: (p) => p.user, show: (p) => p.user.name },
  {
    key: "ssh",
    how: "live",
    of: (p) => p.ssh,
    show: (p) => `${p.ssh.user}, ${count(p.ssh.authorizedKeys.length, "key")}`,
  },
  {
    key: "provision.system",
    how: "provision",
    of: (p) => script(p, "system"),
    show: (p) => shortHash(script(p, "system")),
  },
  {
    key: "provision.boot",
    how: "live",
    of: (p) => script(p, "boot"),
    show: (p) => shortHash(script(p, "boot")),
  },
  {
    key: "fs",
    how: "live",
    of: (p) => p.fileSystems,
    show: (p) => list(p.fileSystems.map((f) => `${f.type} at ${f.target}`)),
  },
  {
    key: "ports",
    how: "live",
    of: (p) => p.ports,
    show: (p) => list(p.ports.map(portText)),
  },
  {
    key: "auto_ports",
    how: "live",
    of: (p) => p.autoPorts,
    show: (p) => p.autoPorts === undefined ? "off" : `${p.autoPorts.from}-${p.autoPorts.to}`,
  },
  { key: "ready", how: "live", of: (p) => p.ready, show: () => "[ready]" },
  { key: "on", how: "live", of: (p) => p.hooks, show: (p) => list(p.hooks.map((h) => h.event)) },
  {
    key: "tasks.screenshot",
    how: "live",
    of: (p) => p.screenshotTask,
    show: (p) =>
      p.screenshotTask === undefined ? "off" : `every ${formatDuration(p.screenshotTask.everyMs)}`,
  },
  {
    key: "recovery.on_crash",
    // "preserve" is libvirt's to do, so it is part of what QEMU was started with.
    how: (from, to) =>
      [from, to].some((p) => p.recovery.onCrash === "preserve") ? "restart" : "live",
    of: (p) => p.recovery.onCrash,
  },
  {
    key: "recovery.after_host_restart",
    how: "live",
    of: (p) => p.recovery.afterHostRestart ?? "report",
  },
  {
    key: "agent",
    how: "live",
    of: (p) => p.agent.digest,
    show: (p) => shortHash(p.agent.digest),
  },
];

/** Every change, in the order of the table, then drives, mounts and services by name. */
export function diffPlans(recorded: RecordedPlan, wanted: RecordedPlan): Change[] {
  const changes: Change[] = [];
  for (const row of ROWS) {
    if (same(row.of(recorded), row.of(wanted))) continue;
    const show = row.show ?? ((plan: RecordedPlan) => text(row.of(plan)));
    const how = typeof row.how === "function" ? row.how(recorded, wanted) : row.how;
    changes.push(change(row.key, show(recorded), show(wanted), how));
  }
  changes.push(...diffDrives(recorded.drives, wanted.drives));
  changes.push(...diffMounts(recorded.mounts, wanted.mounts));
  changes.push(...diffServices(recorded.services, wanted.services));
  return changes;
}

const NEEDS: Readonly<Record<How, string>> = {
  live: "rum up applies it",
  restart: "needs restart (rum restart)",
  reset: "needs --reset (rum up --reset builds a new disk)",
  provision: "needs `rum provision --system`",
};

/** `resources.memory: 2 GiB → 4 GiB, needs restart (rum restart)`. */
function change(key: string, from: string, to: string, how: How, needs = NEEDS[how]): Change {
  return { key, from, to, how, say: `${key}: ${from} → ${to}, ${needs}` };
}

/** One line a change, with what it needs; nothing when nothing changed. */
export function renderChanges(changes: readonly Change[]): string[] {
  return changes.map((c) => c.say);
}

/** What came about, whatever it needed: whoever shows it says that it is applied. */
export function renderApplied(changes: readonly Change[]): string[] {
  return changes.map(({ key, from, to }) => `${key}: ${from} → ${to}`);
}

/** What an `up` left as it was. A live change among them waits for one beside it that is not. */
export function renderNeeds(changes: readonly Change[]): string[] {
  return changes.map(({ key, from, to, how, say }) =>
    how === "live" ? change(key, from, to, "restart").say : say
  );
}

function diffDrives(from: readonly PlannedDrive[], to: readonly PlannedDrive[]): Change[] {
  return diffByName(from, to, "drives", (drive) => formatSize(drive.sizeBytes), (a, b) => {
    if (a === undefined || b === undefined) return ["restart"];
    if (a.sizeBytes === b.sizeBytes) return undefined;
    return b.sizeBytes > a.sizeBytes
      ? ["restart"]
      : ["reset", "needs --reset=all (a drive does not shrink; its content would go)"];
  });
}

function diffMounts(from: readonly PlannedMount[], to: readonly PlannedMount[]): Change[] {
  const named = (mounts: readonly PlannedMount[]) =>
    mounts.map((m) => ({ ...m, name: m.target, why: "" }));
  const device = (m: PlannedMount | undefined) => m !== undefined && m.type !== "sync";
  return diffByName(
    named(from),
    named(to),
    "mounts",
    (m) => `${m.source} by ${m.type}${m.readonly ? ", read-only" : ""}`,
    (a, b) => {
      if (same(a, b)) return undefined;
      // A device's source, tag, type and mode were given to QEMU; the rest is the agent's to change.
      const hardware = (m: PlannedMount | undefined) =>
        device(m) ? [m!.source, m!.tag, m!.type, m!.readonly] : undefined;
      return [same(hardware(a), hardware(b)) ? "live" : "restart"];
    },
  );
}

function diffServices(
  from: RecordedPlan["services"],
  to: RecordedPlan["services"],
): Change[] {
  return diffByName(
    from,
    to,
    "services",
    (s) => `${s.command[0] ?? ""} × ${s.instances}`,
    (a, b) => same(a, b) ? undefined : ["live"],
  );
}

function diffByName<T extends { readonly name: string }>(
  from: readonly T[],
  to: readonly T[],
  key: string,
  show: (item: T) => string,
  judge: (from: T | undefined, to: T | undefined) => [How, string?] | undefined,
): Change[] {
  const names = [...new Set([...from, ...to].map((item) => item.name))].sort();
  return names.flatMap((name) => {
    const a = from.find((item) => item.name === name);
    const b = to.find((item) => item.name === name);
    const verdict = judge(a, b);
    if (verdict === undefined) return [];
    const [how, needs] = verdict;
    const shown = (item: T | undefined) => item === undefined ? "none" : show(item);
    return [change(`${key}.${name}`, shown(a), shown(b), how, needs)];
  });
}

/** As `rum list` and `rum port add` write it: `18180:8000`. */
function portText({ bind, host, guest, proto }: RecordedPlan["ports"][number]): string {
  const where = bind === "127.0.0.1" ? "" : `${bind.includes(":") ? `[${bind}]` : bind}:`;
  return `${where}${host === 0 ? "auto" : host}:${guest}${proto === "udp" ? "/udp" : ""}`;
}

function script(plan: RecordedPlan, name: string): string | undefined {
  return plan.scripts.find((s) => s.name === name)?.hash;
}

function shortHash(hash: string | undefined): string {
  return hash === undefined ? "none" : hash.slice(0, 12);
}

function list(items: readonly string[]): string {
  return items.length === 0 ? "none" : items.join(", ");
}

function count(n: number, noun: string): string {
  return `${n} ${noun}${n === 1 ? "" : "s"}`;
}

function text(value: unknown): string {
  return value === undefined ? "default" : String(value);
}

/** Equal as JSON, whatever the order of keys: one side may have been read back from a file. */
function same(a: unknown, b: unknown): boolean {
  return canonical(a) === canonical(b);
}

function canonical(value: unknown): string {
  return JSON.stringify(
    value,
    (_, inner) =>
      inner !== null && typeof inner === "object" && !Array.isArray(inner)
        ? Object.fromEntries(
          Object.entries(inner).filter(([, v]) => v !== undefined).sort(([a], [b]) =>
            a < b ? -1 : 1
          ),
        )
        : inner,
  ) ?? "undefined";
}
