/**
 * Registering for events. The functions belong to the event thread and run only there; a call
 * thread merely hands their addresses to libvirt.
 */
import { EVENT } from "../../../ffi/constants.ts";
import { type Address, cString, pointerAt } from "../../../ffi/memory.ts";
import { LibvirtError } from "../../../ffi/errors.ts";
import { LibraryMissing, SymbolMissing } from "../../../ffi/library.ts";
import { check, connection, type Thread } from "./call.ts";

export interface CallbackAddresses {
  readonly lifecycle: Address;
  readonly reboot: Address;
  readonly watchdog: Address;
  readonly ioError: Address;
  readonly monitorEvent: Address;
  readonly stream: Address;
}

export interface Registrations {
  readonly events: readonly number[];
  /** Through the QEMU library; absent where the driver is another one. */
  readonly monitor?: number;
}

export const eventOperations = {
  eventsRegister(
    { libraries }: Thread,
    args: {
      readonly connection: Address;
      readonly key: number;
      readonly callbacks: CallbackAddresses;
    },
  ): Registrations {
    const { libvirt } = libraries;
    const conn = connection(args.connection);
    const key = pointerAt(BigInt(args.key));
    const wanted: [number, Address][] = [
      [EVENT.LIFECYCLE, args.callbacks.lifecycle],
      [EVENT.REBOOT, args.callbacks.reboot],
      [EVENT.WATCHDOG, args.callbacks.watchdog],
      [EVENT.IO_ERROR_REASON, args.callbacks.ioError],
    ];
    const events = wanted.map(([event, callback]) =>
      check(
        libvirt,
        "virConnectDomainEventRegisterAny",
        libvirt.virConnectDomainEventRegisterAny(
          conn,
          null,
          event,
          pointerAt(callback),
          key,
          null,
        ),
      )
    );
    return { events, monitor: registerMonitor() };

    /** The guest opening its end of a channel: QEMU says so, libvirt has no event for it. */
    function registerMonitor(): number | undefined {
      try {
        return check(
          libvirt,
          "virConnectDomainQemuMonitorEventRegister",
          libraries.qemu.virConnectDomainQemuMonitorEventRegister(
            conn,
            null,
            cString("VSERPORT_CHANGE"),
            pointerAt(args.callbacks.monitorEvent),
            key,
            null,
            0,
          ),
        );
      } catch (error) {
        const expected = error instanceof LibvirtError || error instanceof LibraryMissing ||
          error instanceof SymbolMissing;
        if (!expected) throw error;
        return undefined;
      }
    }
  },

  eventsDeregister(
    { libraries }: Thread,
    args: { readonly connection: Address; readonly registrations: Registrations },
  ): void {
    const { libvirt } = libraries;
    const conn = connection(args.connection);
    const { events, monitor } = args.registrations;
    for (const id of events) {
      if (libvirt.virConnectDomainEventDeregisterAny(conn, id) < 0) libvirt.virResetLastError();
    }
    if (monitor === undefined) return;
    const result = libraries.qemu.virConnectDomainQemuMonitorEventDeregister(conn, monitor);
    if (result < 0) libvirt.virResetLastError();
  },

  /** Makes the event loop look up, so that it sees that it should end. */
  wakeEventLoop({ libraries: { libvirt } }: Thread, { timer }: { readonly timer: number }): void {
    libvirt.virEventUpdateTimeout(timer, 0);
  },
};
