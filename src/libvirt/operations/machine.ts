/**
 * The life of one machine. Each operation does its whole job in one go on one thread: find the
 * domain, prove that it is ours, act, give everything back. A caller that stopped waiting leaves
 * nothing behind. Verbs that ask for a state the machine is already in succeed.
 */
import { ERR, SHUTDOWN_ACPI, STATE, UNDEFINE, XML_INACTIVE } from "../../../ffi/constants.ts";
import { lastError } from "../../../ffi/errors.ts";
import type { Libvirt } from "../../../ffi/library.ts";
import { cString, OutInt, type Pointer } from "../../../ffi/memory.ts";
import { RumError } from "../../base/errors.ts";
import { check, checkPointer, checkString, connection, type Thread, using } from "./call.ts";
import { findOwned, type OwnedArgs, withOwned } from "./owned.ts";

/** Numbers of virDomainState and its reason; `state_names.ts` has the words. */
export interface RawState {
  readonly state: number;
  readonly reason: number;
}

export const machineOperations = {
  /** Undefined when libvirt has no such domain. */
  state({ libraries: { libvirt } }: Thread, args: OwnedArgs): RawState | undefined {
    const domain = findOwned(libvirt, args);
    if (domain === null) return undefined;
    return using(domain, libvirt.virDomainFree, () => readState(libvirt, domain));
  },

  define(
    { libraries: { libvirt } }: Thread,
    args: OwnedArgs & { readonly xml: string },
  ): void {
    const before = findOwned(libvirt, args);
    if (before !== null) libvirt.virDomainFree(before);
    const domain = checkPointer(
      libvirt,
      "virDomainDefineXMLFlags",
      libvirt.virDomainDefineXMLFlags(connection(args.connection), cString(args.xml), 0),
    );
    libvirt.virDomainFree(domain);
  },

  start(thread: Thread, args: OwnedArgs): void {
    withOwned(thread, args, (domain, libvirt) => {
      const { state } = readState(libvirt, domain);
      // A crashed one that was preserved still has its QEMU: libvirt says that it is in the way.
      if (state !== STATE.CRASHED && isActive({ state })) return;
      check(libvirt, "virDomainCreateWithFlags", libvirt.virDomainCreateWithFlags(domain, 0));
    });
  },

  /** Presses the power button; the guest decides. */
  shutdown(thread: Thread, args: OwnedArgs): void {
    withOwned(thread, args, (domain, libvirt) => {
      wantActive(libvirt, domain, args);
      const result = libvirt.virDomainShutdownFlags(domain, SHUTDOWN_ACPI);
      if (result === 0) return;
      const error = lastError(libvirt, "virDomainShutdownFlags");
      // The test driver has one way only and refuses to be told which.
      if (error.code !== ERR.INVALID_ARG && error.code !== ERR.ARGUMENT_UNSUPPORTED) throw error;
      check(libvirt, "virDomainShutdownFlags", libvirt.virDomainShutdownFlags(domain, 0));
    });
  },

  forceOff(thread: Thread, args: OwnedArgs): void {
    withOwned(thread, args, (domain, libvirt) => {
      if (libvirt.virDomainDestroyFlags(domain, 0) === 0) return;
      const error = lastError(libvirt, "virDomainDestroyFlags");
      if (isActive(readState(libvirt, domain))) throw error;
    });
  },

  pause(thread: Thread, args: OwnedArgs): void {
    withOwned(thread, args, (domain, libvirt) => {
      wantActive(libvirt, domain, args);
      if (readState(libvirt, domain).state === STATE.PAUSED) return;
      check(libvirt, "virDomainSuspend", libvirt.virDomainSuspend(domain));
    });
  },

  resume(thread: Thread, args: OwnedArgs): void {
    withOwned(thread, args, (domain, libvirt) => {
      wantActive(libvirt, domain, args);
      if (readState(libvirt, domain).state !== STATE.PAUSED) return;
      check(libvirt, "virDomainResume", libvirt.virDomainResume(domain));
    });
  },

  /** Asks the guest to reboot; with `hard`, pulls the reset line. */
  reboot(thread: Thread, args: OwnedArgs & { readonly hard: boolean }): void {
    withOwned(thread, args, (domain, libvirt) => {
      wantActive(libvirt, domain, args);
      if (args.hard) check(libvirt, "virDomainReset", libvirt.virDomainReset(domain, 0));
      else check(libvirt, "virDomainReboot", libvirt.virDomainReboot(domain, 0));
    });
  },

  /** Forgets the machine with everything libvirt keeps of it; its disks are not libvirt's. */
  undefine({ libraries: { libvirt } }: Thread, args: OwnedArgs): void {
    const domain = findOwned(libvirt, args);
    if (domain === null) return;
    using(domain, libvirt.virDomainFree, () => {
      const most = UNDEFINE.MANAGED_SAVE | UNDEFINE.SNAPSHOTS_METADATA |
        UNDEFINE.CHECKPOINTS_METADATA;
      // Drivers without firmware files or checkpoints refuse those flags.
      for (const flags of [most | UNDEFINE.NVRAM, UNDEFINE.MANAGED_SAVE]) {
        if (libvirt.virDomainUndefineFlags(domain, flags) === 0) return;
        const error = lastError(libvirt, "virDomainUndefineFlags");
        if (error.code !== ERR.INVALID_ARG && error.code !== ERR.ARGUMENT_UNSUPPORTED) throw error;
      }
      check(libvirt, "virDomainUndefineFlags", libvirt.virDomainUndefineFlags(domain, 0));
    });
  },

  /** The new name is checked like any other: someone else's is refused. */
  rename(thread: Thread, args: OwnedArgs & { readonly newName: string }): void {
    withOwned(thread, args, (domain, libvirt) => {
      check(libvirt, "virDomainRename", libvirt.virDomainRename(domain, cString(args.newName), 0));
    });
  },

  xml(thread: Thread, args: OwnedArgs & { readonly inactive: boolean }): string {
    return withOwned(thread, args, (domain, libvirt) =>
      checkString(
        libvirt,
        "virDomainGetXMLDesc",
        libvirt.virDomainGetXMLDesc(domain, args.inactive ? XML_INACTIVE : 0),
      ));
  },
};

export function readState(libvirt: Libvirt, domain: Pointer): RawState {
  const state = new OutInt();
  const reason = new OutInt();
  check(
    libvirt,
    "virDomainGetState",
    libvirt.virDomainGetState(domain, state.bytes, reason.bytes, 0),
  );
  return { state: state.value, reason: reason.value };
}

/** It has a QEMU, whatever that does. */
export function isActive({ state }: Pick<RawState, "state">): boolean {
  return state !== STATE.SHUTOFF;
}

export function wantActive(libvirt: Libvirt, domain: Pointer, { machine }: OwnedArgs): void {
  if (isActive(readState(libvirt, domain))) return;
  throw new RumError("not_running", `Machine "${machine.name}" is not running`, { hint: "rum up" });
}
