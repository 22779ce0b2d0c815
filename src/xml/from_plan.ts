/**
 * Plan → the description that `domain.ts` renders. Here meet what the plan decided and what became
 * known since: where the seed is, what the overlay stands on, which firmware the image wants.
 */
import { BOOT_UNIT, BOOT_UNIT_NAME } from "../cloudinit/boot_script.ts";
import type { Plan } from "../plan/types.ts";
import type { DiskSpec, DomainSpec } from "./domain.ts";
import { ROOT_SERIAL, SEED_SERIAL } from "./domain.ts";

export interface DomainParts {
  readonly seedPath: string;
  /** The base image that the overlay stands on. */
  readonly base: { readonly path: string; readonly format: "qcow2" | "raw" };
  /** What the image boots with; aarch64 has UEFI only. */
  readonly firmware: "bios" | "uefi";
  readonly rumVersion: string;
}

export function domainSpecOf(plan: Plan, parts: DomainParts): DomainSpec {
  const { kind } = plan.hypervisor;
  return {
    type: plan.domainType.type,
    name: plan.hypervisorName,
    uuid: plan.uuid,
    metadata: { id: plan.id, version: parts.rumVersion, configPath: plan.configPath },
    arch: plan.arch,
    machineType: plan.machineType,
    firmware: plan.arch === "aarch64" ? "uefi" : parts.firmware,
    ...(plan.cpuModel === undefined ? {} : { cpuModel: plan.cpuModel }),
    cpus: plan.cpus,
    memoryBytes: plan.memoryBytes,
    sharedMemory: kind !== "test",
    disks: disks(plan, parts),
    protectBacking: kind === "system",
    shares: plan.mounts.flatMap((mount) =>
      mount.type === "sync" ? [] : [{
        type: mount.type,
        source: mount.source,
        tag: mount.tag,
        readonly: mount.readonly,
        access: kind === "embed" ? "passthrough" as const : "squash" as const,
      }]
    ),
    nics: plan.nics,
    ...(plan.transport.channel === "socket" ? { agentSocket: plan.paths.agentSocket } : {}),
    vsock: plan.transport.kind === "vsock",
    oemStrings: [
      credential(`systemd.extra-unit.${BOOT_UNIT_NAME}`, BOOT_UNIT),
      credential("systemd.unit-dropin.multi-user.target~rum", `[Unit]\nWants=${BOOT_UNIT_NAME}\n`),
    ],
    onCrash: plan.recovery.onCrash === "preserve" ? "preserve" : "destroy",
  };
}

function disks(plan: Plan, parts: DomainParts): DiskSpec[] {
  return [
    { path: plan.paths.overlay, format: "qcow2", serial: ROOT_SERIAL, backing: parts.base },
    // Before the drives, so that adding one does not move it.
    { path: parts.seedPath, format: "raw", serial: SEED_SERIAL, readonly: true },
    ...plan.drives.map((drive): DiskSpec => ({
      path: drive.path,
      format: "qcow2",
      serial: drive.serial,
    })),
  ];
}

/** As systemd (256 and later for these two) reads them; the guest may well have another system. */
function credential(name: string, text: string): string {
  return `io.systemd.credential.binary:${name}=${btoa(text)}`;
}
