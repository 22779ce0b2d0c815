/** Opening and closing, and what can be asked of a connection as a whole. */
import { type Address, addressOf, cString, OutPointer, readPointers } from "../../../ffi/memory.ts";
import { STATE } from "../../../ffi/constants.ts";
import { OutInt } from "../../../ffi/memory.ts";
import { settleModuleAge } from "../module_age.ts";
import { check, checkPointer, checkString, connection, type Thread, using } from "./call.ts";

export interface ConnectionArgs {
  readonly connection: Address;
}

export const connectionOperations = {
  open({ libraries: { libvirt } }: Thread, { uri }: { readonly uri: string }): Address {
    check(libvirt, "virInitialize", libvirt.virInitialize());
    if (/^qemu:\/\/\/embed\b/.test(uri)) settleModuleAge(libvirt);
    const conn = checkPointer(libvirt, "virConnectOpen", libvirt.virConnectOpen(cString(uri)));
    // Only the remote driver has it; a driver inside this process needs none and says so.
    if (libvirt.virConnectSetKeepAlive(conn, 5, 3) < 0) libvirt.virResetLastError();
    return addressOf(conn);
  },

  close({ libraries: { libvirt } }: Thread, args: ConnectionArgs): void {
    check(libvirt, "virConnectClose", libvirt.virConnectClose(connection(args.connection)));
  },

  isAlive({ libraries: { libvirt } }: Thread, args: ConnectionArgs): boolean {
    const alive = libvirt.virConnectIsAlive(connection(args.connection));
    if (alive < 0) libvirt.virResetLastError();
    return alive === 1;
  },

  /** libvirt's and the hypervisor's own version, as `9.0.0`. */
  versions({ libraries: { libvirt } }: Thread, args: ConnectionArgs) {
    const ours = new OutPointer();
    check(libvirt, "virGetVersion", libvirt.virGetVersion(ours.bytes, null, null));
    const theirs = new OutPointer();
    const conn = connection(args.connection);
    const known = libvirt.virConnectGetVersion(conn, theirs.bytes) === 0;
    if (!known) libvirt.virResetLastError();
    return {
      library: dotted(ours.buffer[0]),
      hypervisor: known ? dotted(theirs.buffer[0]) : undefined,
    };
  },

  capabilities({ libraries: { libvirt } }: Thread, args: ConnectionArgs): string {
    const conn = connection(args.connection);
    let xml = libvirt.virConnectGetCapabilities(conn);
    if (xml === null) {
      // libvirt finds out the host's UUID once per process, and not safely: of two threads that are
      // first at the same moment one gets "cannot get the host uuid". Asked again, it answers.
      libvirt.virResetLastError();
      xml = libvirt.virConnectGetCapabilities(conn);
    }
    return checkString(libvirt, "virConnectGetCapabilities", xml);
  },

  domainCapabilities(
    { libraries: { libvirt } }: Thread,
    args: ConnectionArgs & {
      readonly emulator: string;
      readonly arch: string;
      readonly machine: string;
      readonly type: string;
    },
  ): string {
    const xml = libvirt.virConnectGetDomainCapabilities(
      connection(args.connection),
      cString(args.emulator),
      cString(args.arch),
      cString(args.machine),
      cString(args.type),
      0,
    );
    return checkString(libvirt, "virConnectGetDomainCapabilities", xml);
  },

  /**
   * Waits until the driver has taken up the machines that outlived its last process. Opening an
   * embedded root starts a thread for each; until that one has its answer, a destroy fails. Those
   * threads hold the domain's job, so a call that needs the job returns when they are done.
   */
  settle({ libraries: { libvirt } }: Thread, args: ConnectionArgs): number {
    const conn = connection(args.connection);
    const list = new OutPointer();
    const count = check(
      libvirt,
      "virConnectListAllDomains",
      libvirt.virConnectListAllDomains(conn, list.bytes, 0),
    );
    const domains = readPointers(list.value, count);
    try {
      for (const domain of domains) {
        const state = new OutInt();
        if (libvirt.virDomainGetState(domain, state.bytes, null, 0) < 0) continue;
        if (state.value === STATE.SHUTOFF) continue;
        // The result does not matter: a machine that did not survive answers with an error.
        libvirt.virDomainMemoryStats(domain, new Uint8Array(16 * 16), 16, 0);
        libvirt.virResetLastError();
      }
    } finally {
      domains.forEach((domain) => libvirt.virDomainFree(domain));
      using(list.value, () => 0, () => libvirt.free(list.value));
    }
    return count;
  },
};

/** libvirt packs versions as major * 1,000,000 + minor * 1,000 + release. */
function dotted(packed: bigint): string {
  const n = Number(packed);
  return `${Math.floor(n / 1_000_000)}.${Math.floor(n / 1000) % 1000}.${n % 1000}`;
}
