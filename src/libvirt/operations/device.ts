/** Changes to a machine's parts, and what is asked of its QEMU directly. */
import {
  AFFECT,
  BLOCK_RESIZE_BYTES,
  KEYCODE_LINUX,
  MEM_MAXIMUM,
  SEND_KEY_MAX,
} from "../../../ffi/constants.ts";
import { cString, OutPointer, takeCString } from "../../../ffi/memory.ts";
import { RumError } from "../../base/errors.ts";
import { check, type Thread } from "./call.ts";
import { isActive, readState, wantActive } from "./machine.ts";
import { type OwnedArgs, withOwned } from "./owned.ts";

/** Where a change goes: the running machine, its recorded form, or both. */
export interface Impact {
  readonly live: boolean;
  readonly config: boolean;
}

export const deviceOperations = {
  attachDevice(
    thread: Thread,
    args: OwnedArgs & { readonly xml: string; readonly impact: Impact },
  ): void {
    withOwned(thread, args, (domain, libvirt) => {
      const result = libvirt.virDomainAttachDeviceFlags(
        domain,
        cString(args.xml),
        affect(args.impact),
      );
      check(libvirt, "virDomainAttachDeviceFlags", result);
    });
  },

  detachDevice(
    thread: Thread,
    args: OwnedArgs & { readonly xml: string; readonly impact: Impact },
  ): void {
    withOwned(thread, args, (domain, libvirt) => {
      const result = libvirt.virDomainDetachDeviceFlags(
        domain,
        cString(args.xml),
        affect(args.impact),
      );
      check(libvirt, "virDomainDetachDeviceFlags", result);
    });
  },

  updateDevice(
    thread: Thread,
    args: OwnedArgs & { readonly xml: string; readonly impact: Impact },
  ): void {
    withOwned(thread, args, (domain, libvirt) => {
      const result = libvirt.virDomainUpdateDeviceFlags(
        domain,
        cString(args.xml),
        affect(args.impact),
      );
      check(libvirt, "virDomainUpdateDeviceFlags", result);
    });
  },

  /** The balloon while it runs; the maximum only where it is off. */
  setMemory(thread: Thread, args: OwnedArgs & { readonly bytes: number }): void {
    withOwned(thread, args, (domain, libvirt) => {
      const kib = BigInt(Math.floor(args.bytes / 1024));
      if (isActive(readState(libvirt, domain))) {
        const result = libvirt.virDomainSetMemoryFlags(domain, kib, AFFECT.LIVE);
        check(libvirt, "virDomainSetMemoryFlags", result);
        return;
      }
      for (const flags of [AFFECT.CONFIG | MEM_MAXIMUM, AFFECT.CONFIG]) {
        const result = libvirt.virDomainSetMemoryFlags(domain, kib, flags);
        check(libvirt, "virDomainSetMemoryFlags", result);
      }
    });
  },

  /** Grows a disk of the running machine, so that the guest sees it at once. */
  resizeBlock(
    thread: Thread,
    args: OwnedArgs & { readonly disk: string; readonly bytes: number },
  ): void {
    withOwned(thread, args, (domain, libvirt) => {
      wantActive(libvirt, domain, args);
      const result = libvirt.virDomainBlockResize(
        domain,
        cString(args.disk),
        BigInt(args.bytes),
        BLOCK_RESIZE_BYTES,
      );
      check(libvirt, "virDomainBlockResize", result);
    });
  },

  /** Presses the keys together, Linux key codes. */
  sendKeys(
    thread: Thread,
    args: OwnedArgs & { readonly codes: readonly number[]; readonly holdMs: number },
  ): void {
    if (args.codes.length === 0 || args.codes.length > SEND_KEY_MAX) {
      throw new RumError(
        "invalid_params",
        `Cannot press ${args.codes.length} keys at once: wanted 1 to ${SEND_KEY_MAX}`,
      );
    }
    withOwned(thread, args, (domain, libvirt) => {
      wantActive(libvirt, domain, args);
      const codes = new Uint8Array(Uint32Array.from(args.codes).buffer);
      const result = libvirt.virDomainSendKey(
        domain,
        KEYCODE_LINUX,
        args.holdMs,
        codes,
        args.codes.length,
        0,
      );
      check(libvirt, "virDomainSendKey", result);
    });
  },

  /** One command to QEMU's monitor, JSON text both ways; libvirt marks the machine as tainted. */
  monitorCommand(thread: Thread, args: OwnedArgs & { readonly command: string }): string {
    const { qemu } = thread.libraries;
    return withOwned(thread, args, (domain, libvirt) => {
      wantActive(libvirt, domain, args);
      const answer = new OutPointer();
      const result = qemu.virDomainQemuMonitorCommand(
        domain,
        cString(args.command),
        answer.bytes,
        0,
      );
      check(libvirt, "virDomainQemuMonitorCommand", result);
      return takeCString(answer.value, libvirt.free);
    });
  },
};

function affect({ live, config }: Impact): number {
  return (live ? AFFECT.LIVE : 0) | (config ? AFFECT.CONFIG : 0);
}
