/**
 * One look at a machine for `status`: asked of its background process, and where that cannot answer,
 * what is recorded, with the reason why. Light on purpose: no libvirt, nothing started or changed;
 * `state.json` and rum.toml are read only when nobody answers, whose look at them it would be.
 */
import { RumError } from "../base/errors.ts";
import { MISTAKE } from "../config/mistake.ts";
import type { LockHolder } from "../store/flock.ts";
import { askLine } from "../daemon/ask_line.ts";
import type { Target } from "./target.ts";

export type MachineLook = Readonly<Record<string, unknown>> & { readonly phase: string };

const ANSWER_MS = 3000;

/** @throws {RumError} `state_newer`, `not_owner`, or the signal's reason */
export async function lookAt(
  target: Target,
  options: { readonly home: string; readonly signal?: AbortSignal },
): Promise<MachineLook> {
  try {
    const { as_recorded, ...answer } = await askLine(target.paths, "status", {
      timeoutMs: ANSWER_MS,
      signal: options.signal,
    });
    const { pid } = (answer.daemon ?? {}) as { pid?: number };
    return {
      ...answer,
      phase: String(answer.phase),
      as_recorded: as_recorded === true,
      // What serves a one-shot `down` has no background process to tell of.
      daemon: answer.daemon === undefined
        ? { state: "busy", operation: answer.one_shot }
        : { state: "running", ...answer.daemon as object, pid },
    };
  } catch (thrown) {
    if (!(thrown instanceof RumError)) throw thrown;
    if (thrown.code !== "daemon_unreachable" && thrown.code !== "daemon_hung") throw thrown;
    return await recorded(target, thrown, options);
  }
}

async function recorded(
  target: Target,
  why: RumError,
  { home }: { readonly home: string },
): Promise<MachineLook> {
  const [{ livingHolder }, { hasMachineFolder }, { readState }, { configured }] = await Promise.all(
    [
      import("../daemon/probe.ts"),
      import("../store/machine_folder.ts"),
      import("../store/state_file.ts"),
      import("./configured.ts"),
    ],
  );
  const holder = await livingHolder(target.paths.lock);
  const daemon = daemonWithoutAnswer(target, why, holder);
  const base = {
    id: target.id,
    as_recorded: true,
    ...(target.configPath === undefined ? {} : { config_path: target.configPath }),
    forwards: [],
    mounts: [],
    services: [],
    service_count: 0,
    running_instances: 0,
  };
  const config = await configured(target, { home });
  const mistakes = config.kind === "mistake" ? [MISTAKE] : [];
  const nothing = {
    ...base,
    ...(config.kind === "good" ? { name: config.name } : {}),
    phase: "absent",
    text: "absent",
    ready: false,
    daemon,
    degraded: mistakes,
  };
  if (!await hasMachineFolder(target.paths)) return nothing;
  const reading = await readState(target.paths);
  if (reading.kind === "none") return nothing;
  if (reading.kind === "corrupt") {
    return {
      ...base,
      phase: "unknown",
      text: "unknown",
      ready: false,
      daemon,
      degraded: [`its record is corrupt (${reading.why}); the next rum up rebuilds it`],
    };
  }
  const { record } = reading;
  const [{ powerOf }, { isLostWithHost }, { bootId }] = await Promise.all([
    import("../store/recorded_power.ts"),
    import("../store/list_machines.ts"),
    import("../store/flock.ts"),
  ]);
  const { plan } = record;
  const now = phaseNow(record.phase, await powerOf(record));
  return {
    ...base,
    name: record.name,
    ...now,
    // Whether a running machine is ready is only known to who looks after it.
    ...(now.phase === "running" ? {} : { ready: false }),
    ...(record.phase.cause === undefined ? {} : { cause: record.phase.cause }),
    since: record.phase.since,
    config_path: record.config_path,
    hypervisor: {
      ...(record.hypervisor === undefined
        ? {}
        : { uri: record.hypervisor.uri, why: record.hypervisor.reason }),
      name: record.hypervisor_name,
      uuid: record.uuid,
      ...(record.accelerator === undefined ? {} : { accelerator: record.accelerator }),
      ...(record.qemu === undefined ? {} : { qemu_pid: record.qemu.pid }),
    },
    ...(plan === undefined ? {} : {
      resources: { cpus: plan.cpus, memory: plan.memoryBytes, disk: plan.diskBytes },
      mounts: plan.mounts.map(({ source, target, type, why, readonly }) => ({
        source,
        target,
        type,
        why,
        readonly,
      })),
      service_count: plan.services.length,
    }),
    daemon,
    degraded: [
      ...mistakes,
      ...(isLostWithHost(record, await bootId())
        ? ["it was running when its host went down; rum up starts it"]
        : []),
      ...degradedBy(now.phase, daemon.state),
    ],
  };
}

/** Phases that a machine can only be in while somebody works on it. */
const UNDER_WAY = ["preparing", "starting", "provisioning", "stopping", "destroying"];
const NEEDS_POWER = ["starting", "provisioning", "running", "paused", "stopping"];

/** The recorded phase, corrected by what a look at the process table says. */
export function phaseNow(
  phase: { readonly kind: string; readonly text: string },
  power: "on" | "off",
): { phase: string; text: string } {
  if (power === "off" && NEEDS_POWER.includes(phase.kind)) {
    return { phase: "stopped", text: "stopped (its QEMU is gone)" };
  }
  return { phase: phase.kind, text: phase.text };
}

function degradedBy(phase: string, daemon: string): string[] {
  if (daemon !== "absent") return [];
  if (UNDER_WAY.includes(phase)) {
    return [`it was left in the middle of ${phase}; rum up, down or destroy goes on from there`];
  }
  return phase === "running"
    ? ["its background process is gone: no forwards; the next command that needs one starts it"]
    : [];
}

export interface DaemonLook {
  readonly state: "absent" | "hung" | "busy";
  readonly pid?: number;
  readonly operation?: string;
  readonly since?: string;
  readonly message?: string;
  readonly hint?: string;
}

function daemonWithoutAnswer(
  target: Target,
  why: RumError,
  holder: LockHolder | undefined,
): DaemonLook {
  const who = holder === undefined
    ? {}
    : { pid: holder.pid, operation: holder.operation, since: holder.since };
  if (why.code === "daemon_hung") {
    return {
      state: "hung",
      ...who,
      message: why.message,
      hint: why.hint ?? `less ${target.paths.daemonLog}`,
    };
  }
  return holder === undefined ? { state: "absent" } : { state: "busy", ...who };
}
