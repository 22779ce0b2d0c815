/** What `rum status` says to people, from the document that programs get. Pure. */
import { printableLine } from "../base/printable.ts";
import { formatDuration, formatSize } from "../base/units.ts";

type Fields = Readonly<Record<string, unknown>>;

/** Aligned `label  value` lines; what does not exist has no line. */
export function statusText(look: Fields): string {
  const rows: [string, string][] = [];
  const row = (label: string, value: string | undefined) => {
    if (value !== undefined && value !== "") rows.push([label, printableLine(value, 2000)]);
  };
  const name = text(look.name);
  row("machine", name === undefined ? text(look.id) : `${name} (${look.id})`);
  row("phase", phaseText(look));
  row(
    "ready",
    look.phase === "running" && look.ready !== undefined ? yesNo(look.ready) : undefined,
  );
  row("cause", text(fields(look.cause).message));
  row("machine state", machineState(fields(look.hypervisor)));
  row("agent", agentText(fields(look.agent)));
  for (const address of list(fields(look.agent).addresses)) {
    row("address", `${address.address} (${address.interface})`);
  }
  const { cpus, memory, disk } = fields(look.resources);
  row(
    "resources",
    cpus === undefined
      ? undefined
      : `${cpus} CPUs, ${formatSize(Number(memory))} memory, ${formatSize(Number(disk))} disk`,
  );
  for (const forward of list(look.forwards)) row("forward", forwardText(forward));
  for (const mount of list(look.mounts)) {
    row(
      "mount",
      `${mount.source} → ${mount.target} (${mount.type}${mount.readonly ? ", read-only" : ""}${
        mountState(mount)
      }; ${mount.why})`,
    );
  }
  for (const service of list(look.services)) row("service", serviceText(service));
  row("project", text(look.config_path));
  row("hypervisor", hypervisorText(fields(look.hypervisor)));
  row("daemon", daemonText(fields(look.daemon)));
  for (const sentence of look.degraded as readonly string[] ?? []) row("note", String(sentence));
  const width = Math.max(...rows.map(([label]) => label.length)) + 2;
  return rows.map(([label, value], i) =>
    (rows[i - 1]?.[0] === label ? "" : label).padEnd(width) + value
  ).join("\n");
}

/** A copy has a state of its own; what the hypervisor shares is simply there. */
function mountState({ state, done, total }: Fields): string {
  if (state === undefined || state === "mounted" || state === "off") return "";
  if (state === "copying" && done !== undefined) return `, copying ${done} of ${total}`;
  return `, ${String(state).replace("_", " ")}`;
}

/** One line for `--watch`. */
export function statusLine(look: Fields): string {
  const agent = fields(look.agent);
  const parts = [
    phaseText(look),
    look.phase === "running" && look.ready !== undefined
      ? (look.ready === true ? "ready" : "not ready")
      : undefined,
    agent.state === undefined ? undefined : `agent ${agent.state}`,
    `daemon ${fields(look.daemon).state}`,
    ...(look.degraded as readonly string[] ?? []),
  ];
  return printableLine(parts.filter((part) => part !== undefined).join("; "), 2000);
}

function phaseText(look: Fields): string {
  const said = text(look.text) ?? String(look.phase);
  return look.as_recorded === true && look.phase !== "absent" ? `${said}, as recorded` : said;
}

function machineState({ state, reason }: Fields): string | undefined {
  if (state === undefined) return undefined;
  return text(reason) === undefined ? String(state) : `${state} (${reason})`;
}

function agentText(agent: Fields): string | undefined {
  const { state, transport, version, os, kernel } = agent;
  if (state === undefined) return undefined;
  const where = transport === undefined ? "" : ` over ${transport}`;
  const which = version === undefined ? "" : `, ${version}`;
  const guest = os === undefined ? "" : `; ${os}, Linux ${kernel}`;
  return `${state}${where}${which}${guest}`;
}

function forwardText(forward: Fields): string {
  const { bind, host, guest, proto, state, message, origin } = forward;
  const tail = [
    text(message),
    origin === undefined || origin === "config" ? undefined : String(origin),
  ]
    .filter((part) => part !== undefined).map((part) => `, ${part}`).join("");
  return `${bind}:${host} → ${guest}/${proto} ${state}${tail}`;
}

function serviceText(service: Fields): string {
  const { name, service: of, index, state, pid, message } = service;
  const id = `${name ?? of}${index === undefined ? "" : `/${index}`}`;
  const more = [pid === undefined ? undefined : `pid ${pid}`, text(message)]
    .filter((part) => part !== undefined).join(", ");
  return `${id} ${state}${more === "" ? "" : ` (${more})`}`;
}

function hypervisorText({ uri, accelerator, why }: Fields): string | undefined {
  if (uri === undefined) return undefined;
  const how = accelerator === "kvm"
    ? ", hardware virtualisation"
    : accelerator === undefined
    ? ""
    : ", emulated";
  return `${uri}${how}${text(why) === undefined ? "" : ` (${why})`}`;
}

function daemonText(daemon: Fields): string | undefined {
  const { state, pid, version, uptime_ms, operation, since, message, hint } = daemon;
  switch (state) {
    case "running":
      return `process ${pid}, rum ${version}, up ${formatDuration(Number(uptime_ms))}`;
    case "busy":
      return pid === undefined
        ? `busy with "${operation}"`
        : `process ${pid} has the machine for "${operation}" since ${since}`;
    case "hung":
      return `hung${pid === undefined ? "" : ` (process ${pid})`}: ${message}; ${hint}`;
    default:
      return state === undefined ? undefined : "none";
  }
}

function fields(value: unknown): Fields {
  return typeof value === "object" && value !== null ? value as Fields : {};
}

function list(value: unknown): readonly Fields[] {
  return Array.isArray(value) ? value.map(fields) : [];
}

function text(value: unknown): string | undefined {
  return typeof value === "string" && value !== "" ? value : undefined;
}

function yesNo(value: unknown): string {
  return value === true ? "yes" : "no";
}
