/**
 * A plan as `up --dry-run` shows it: aligned lines for people, and the document for `-o json`.
 * Neither shows a service's environment values or a script's text; both may hold secrets, and a
 * dry run is what gets pasted into tickets.
 */
import { printableLine } from "../base/printable.ts";
import { formatDuration, formatSize } from "../base/units.ts";
import type { Plan, PlannedNic, PlannedScript } from "./types.ts";

export function renderPlan(plan: Plan): string[] {
  const rows: [string, string][] = [
    ["machine", `${plan.name} (${plan.id})`],
    ["config", plan.configPath],
    ["folder", plan.paths.folder],
    ["hypervisor", `${plan.hypervisor.uri} (${plan.hypervisor.reason})`],
    ["type", `${plan.arch} ${plan.machineType}, ${plan.domainType.reason}`],
    ["image", plan.image.base],
    ["cpus", String(plan.cpus)],
    ["memory", formatSize(plan.memoryBytes)],
    ["disk", formatSize(plan.diskBytes)],
    ...plan.drives.map((d): [string, string] => [
      "drive",
      `${d.name}, ${formatSize(d.sizeBytes)}, serial ${d.serial}`,
    ]),
    ...plan.fileSystems.map((f): [string, string] => [
      "file system",
      `${f.type} on ${f.drives.join(", ")} at ${f.target}`,
    ]),
    ["hostname", plan.hostname],
    ["network", plan.nics.length === 0 ? "none" : plan.nics.map(nic).join("; ")],
    ...plan.networks.map((n): [string, string] => [
      "made",
      `network ${n.hypervisorName}, ${n.subnet}, ${
        n.forward === "nat" ? "to the outside" : "isolated"
      }`,
    ]),
    ["agent by", `${plan.transport.kind} (${plan.transport.reason})`],
    [
      "user",
      plan.user.name + (plan.user.groups.length ? ` in ${plan.user.groups.join(", ")}` : ""),
    ],
    ...plan.mounts.map((m): [string, string] => [
      "mount",
      `${m.source} at ${m.target} by ${m.type}${m.readonly ? ", read-only" : ""} (${m.why})`,
    ]),
    ...plan.ports.map((p): [string, string] => [
      "port",
      `${p.bind}:${p.host === 0 ? "any" : p.host} → ${p.guest}/${p.proto}`,
    ]),
    ...plan.scripts.map((s): [string, string] => ["script", script(s)]),
    ...plan.services.map((s): [string, string] => [
      "service",
      `${s.name}: ${s.command.join(" ")}${s.instances > 1 ? ` × ${s.instances}` : ""}`,
    ]),
    ...plan.hooks.map((h): [string, string] => ["hook", `${h.event}: ${h.exec.join(" ")}`]),
    ...plan.warnings.map((w): [string, string] => ["warning", w]),
  ];
  const width = Math.max(...rows.map(([label]) => label.length));
  return rows.map(([label, value]) => `${label.padEnd(width)}  ${printableLine(value)}`);
}

/** The plan as one JSON document: `v` and `type` in front, no functions, no secrets. */
export function planDocument(plan: Plan): Record<string, unknown> {
  const { v, paths, services, scripts, ...rest } = plan;
  return {
    v,
    type: "plan",
    ...rest,
    folder: paths.folder,
    services: services.map(({ env, ...service }) => ({
      ...service,
      env: Object.keys(env).sort(),
    })),
    scripts: scripts.map(({ content: _, ...known }) => known),
  };
}

function nic(n: PlannedNic): string {
  return n.kind === "user"
    ? `user-mode, ${n.mac}`
    : `${n.network}, ${n.mac}${n.ip === undefined ? "" : `, ${n.ip}`}`;
}

function script(s: PlannedScript): string {
  const when = s.runOn === "system" ? "on the first boot" : "on every boot";
  return `${s.name} ${when}, at most ${formatDuration(s.timeoutMs)}, ${s.hash.slice(0, 12)}`;
}
