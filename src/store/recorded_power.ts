/**
 * Whether a machine has power, from records alone: no libvirt, no daemon. QEMU's pid counts only with
 * its start time and the host's boot id, so a reused pid is never taken for the machine. Where no
 * process was recorded (a remote hypervisor, the fake one) the phase is all there is.
 */
import type { MachineRecord } from "../machine/record.ts";
import type { MachinePaths } from "../plan/paths.ts";
import { bootId, isHolderAlive } from "./flock.ts";
import { readState } from "./state_file.ts";

const POWERED = new Set(["starting", "provisioning", "running", "paused", "failed", "stopping"]);

export async function recordedPower(paths: MachinePaths): Promise<"on" | "off"> {
  const reading = await readState(paths);
  return reading.kind === "ok" ? await powerOf(reading.record) : "off";
}

export async function powerOf(record: MachineRecord): Promise<"on" | "off"> {
  const { qemu } = record;
  if (isOfAnotherBoot(record, await bootId())) return "off";
  if (qemu !== undefined) {
    // Where nobody reaps (a container), a QEMU that ended stays a zombie for long: no power.
    return await isHolderAlive({ ...qemu, boot_id: await bootId() }) ? "on" : "off";
  }
  return POWERED.has(record.phase.kind) && record.phase.text !== "failed (off)" ? "on" : "off";
}

/** Nothing of this host outlives its boot; a remote host has its own. */
export function isOfAnotherBoot(
  { host_boot_id, hypervisor }: Pick<MachineRecord, "host_boot_id" | "hypervisor">,
  boot: string,
): boolean {
  return host_boot_id !== undefined && host_boot_id !== boot && hypervisor?.kind !== "remote";
}
