/**
 * `rum list`: every machine of this user from what is written down, with no daemon and no libvirt.
 * A folder that cannot be read is a row that says so, never the end of the list; the folders are read
 * side by side, so that a hundred cost little more than one.
 */
import { RumError } from "../base/errors.ts";
import type { MachineRecord } from "../machine/record.ts";
import { machinePaths, type RumPaths } from "../plan/paths.ts";
import { isDaemonAlive, readDaemonRecord } from "./daemon_record.ts";
import { bootId, isHolderAlive } from "./flock.ts";
import { readForwards } from "./forwards_file.ts";
import { readConfigPath } from "./machine_folder.ts";
import { checkOwnFolder } from "./ownership.ts";
import { isOfAnotherBoot } from "./recorded_power.ts";
import { readState } from "./state_file.ts";

export interface ListedMachine {
  readonly id: string;
  readonly name: string;
  /** As recorded; `unknown` when the record is unreadable. Off when its host was rebooted since. */
  readonly phase: string;
  readonly cpus?: number;
  readonly memoryBytes?: number;
  /** What a machine with power forwards now; of any other, what its plan says. */
  readonly ports: readonly { readonly host: number; readonly guest: number }[];
  readonly configPath?: string;
  /** The rum.toml is still there. */
  readonly configExists: boolean;
  /** Of a living background process. */
  readonly daemonPid?: number;
  /** QEMU lives, by pid and start time. Only known where it was recorded. */
  readonly qemuAlive?: boolean;
  /** It ran when its host went down, and nobody has started it since. */
  readonly lostWithHost?: boolean;
  /** Why this row is incomplete. */
  readonly problem?: { readonly code: string; readonly message: string };
  readonly record?: MachineRecord;
}

/** Sorted by name, then id. */
export async function listMachines(rum: RumPaths): Promise<ListedMachine[]> {
  const ids: string[] = [];
  try {
    await checkOwnFolder(rum.data);
    for await (const entry of Deno.readDir(rum.data)) {
      if (/^[0-9a-f]{8}$/.test(entry.name)) ids.push(entry.name);
    }
  } catch (error) {
    if (error instanceof RumError && error.code === "machine_not_found") return [];
    throw error;
  }
  const boot = await bootId();
  const rows = await Promise.all(ids.map((id) => listOne(rum, id, boot)));
  return rows.filter((row) => row !== undefined)
    .sort((a, b) => a.name < b.name ? -1 : a.name > b.name ? 1 : a.id < b.id ? -1 : 1);
}

/** Undefined when the folder is gone by now. */
async function listOne(
  rum: RumPaths,
  id: string,
  boot: string,
): Promise<ListedMachine | undefined> {
  const paths = machinePaths(rum, id);
  let configPath: string | undefined;
  try {
    await checkOwnFolder(paths.folder);
    const [known, reading, daemon] = await Promise.all([
      readConfigPath(paths).catch(() => undefined),
      readState(paths),
      readDaemonRecord(paths).catch(() => undefined),
    ]);
    configPath = known;
    if (reading.kind === "none" && known === undefined) return undefined;
    if (reading.kind !== "ok") {
      throw new RumError(
        "state_invalid",
        reading.kind === "none"
          ? "nothing is recorded yet"
          : `its record is corrupt: ${reading.why}`,
      );
    }
    const { record } = reading;
    configPath = record.config_path;
    const [configExists, daemonAlive, qemuAlive] = await Promise.all([
      exists(configPath),
      daemon === undefined ? false : isDaemonAlive(daemon),
      record.qemu === undefined
        ? undefined
        : isHolderAlive({ ...record.qemu, boot_id: record.host_boot_id ?? "" }),
    ]);
    const phase = phaseNow(record, boot, qemuAlive);
    const forwarded = NEEDS_POWER.includes(phase) ? await readForwards(paths) : undefined;
    const ports = forwarded ?? record.plan?.ports ?? [];
    return {
      id,
      name: record.name,
      phase,
      ...(record.plan === undefined
        ? {}
        : { cpus: record.plan.cpus, memoryBytes: record.plan.memoryBytes }),
      ports: ports.map(({ host, guest }) => ({ host, guest })),
      configPath,
      configExists,
      ...(daemonAlive && daemon !== undefined ? { daemonPid: daemon.pid } : {}),
      ...(qemuAlive === undefined ? {} : { qemuAlive }),
      ...(isLostWithHost(record, boot) ? { lostWithHost: true } : {}),
      record,
    };
  } catch (error) {
    if (error instanceof RumError && error.code === "machine_not_found") return undefined;
    const problem = error instanceof RumError
      ? { code: error.code, message: error.message }
      : { code: "internal", message: String(error) };
    return {
      id,
      name: configPath?.split("/").at(-2) ?? id,
      phase: "unknown",
      ports: [],
      ...(configPath === undefined ? {} : { configPath }),
      configExists: configPath !== undefined && await exists(configPath),
      problem,
    };
  }
}

/** Wanted running, and recorded in another boot of the host that it ran on. */
export function isLostWithHost(
  record: Pick<MachineRecord, "desired" | "host_boot_id" | "hypervisor">,
  boot: string,
): boolean {
  return record.desired === "running" && isOfAnotherBoot(record, boot);
}

const NEEDS_POWER = ["starting", "provisioning", "running", "paused", "stopping"];

/** What was running in another boot of its host, or under a QEMU that is gone, runs no more. */
function phaseNow(record: MachineRecord, boot: string, qemuAlive: boolean | undefined): string {
  if (!NEEDS_POWER.includes(record.phase.kind)) return record.phase.kind;
  return isOfAnotherBoot(record, boot) || qemuAlive === false ? "stopped" : record.phase.kind;
}

async function exists(path: string): Promise<boolean> {
  try {
    await Deno.stat(path);
    return true;
  } catch {
    return false;
  }
}
