/**
 * The hypervisor as the rest of rum sees it: machines, networks, streams. One interface, two makers:
 * libvirt (`libvirt_hypervisor.ts`) and a fake in files (`fake.ts`), which pass the same contract
 * suite. The word "domain" ends here.
 *
 * Every method has a deadline of its own and takes a signal; failures are RumErrors:
 * `machine_not_found`, `foreign_machine` (from any verb: someone else's domain has our name or
 * UUID), `not_running`, `not_supported`, `hypervisor_stuck`, `hypervisor_unreachable`, and
 * `hypervisor_error` with libvirt's code and text in `data`.
 */
import type { HypervisorChoice } from "../plan/types.ts";
import type { Duplex } from "../wire/duplex.ts";
import type { Capabilities } from "./capabilities.ts";
import type { Impact } from "./operations/device.ts";
import type { NetworkRef } from "./operations/network.ts";
import type { MachineRef } from "./operations/owned.ts";
import type { RawStats } from "./operations/stats.ts";
import type { MachineState } from "./state_names.ts";

export type { Capabilities, Impact, MachineRef, MachineState, NetworkRef, RawStats };

export interface CallOptions {
  readonly signal?: AbortSignal;
  /** Instead of the method's own. */
  readonly deadlineMs?: number;
}

export interface Hypervisor extends AsyncDisposable {
  readonly choice: HypervisorChoice;
  /** A handle; nothing is asked until one of its methods is called. */
  machine(ref: MachineRef): HypervisorMachine;
  network(ref: NetworkRef): HypervisorNetwork;
  versions(options?: CallOptions): Promise<{ library: string; hypervisor?: string }>;
  capabilities(options?: CallOptions): Promise<Capabilities>;
  /** Whether networks can be made here at all, with libvirt's words when not. */
  networkDriver(options?: CallOptions): Promise<{ available: boolean; detail: string }>;
  /** Idempotent, never throws; machines run on. */
  close(): Promise<void>;
}

/** What libvirt says of a machine; `absent` = it knows none of that name and UUID. */
export type MachineStatus = MachineState | { readonly state: "absent"; readonly reason: "" };

export interface HypervisorMachine {
  readonly ref: MachineRef;
  status(options?: CallOptions): Promise<MachineStatus>;
  /** Makes it known, or replaces what is known of it. */
  define(xml: string, options?: CallOptions): Promise<void>;
  /** Forgets it, firmware variables and saved state included. Absent = success. */
  undefine(options?: CallOptions): Promise<void>;
  /** Running already = success. `start_failed` with QEMU's words otherwise. */
  start(options?: CallOptions): Promise<void>;
  /** Presses the power button; returns at once, the guest decides. */
  shutdown(options?: CallOptions): Promise<void>;
  /** Off already = success. */
  forceOff(options?: CallOptions): Promise<void>;
  pause(options?: CallOptions): Promise<void>;
  resume(options?: CallOptions): Promise<void>;
  /** Asks the guest, or with `hard` resets it. */
  reboot(options?: CallOptions & { readonly hard?: boolean }): Promise<void>;
  /** Only while off. */
  rename(newName: string, options?: CallOptions): Promise<void>;
  /** As it runs, or as it would start next. */
  xml(options?: CallOptions & { readonly inactive?: boolean }): Promise<string>;
  /**
   * Calls back for everything that happens to the machine until disposed: libvirt's events as they
   * come, and the state once at the start and whenever a poll (1 s) finds it changed. The poll is
   * the truth; events make it quick. The listener must not throw.
   */
  watch(listener: (event: MachineEvent) => void): Disposable;
  openConsole(options?: StreamOptions): Promise<Duplex>;
  openChannel(name: string, options?: StreamOptions): Promise<Duplex>;
  screenshot(options?: CallOptions): Promise<Screenshot>;
  /** Linux key codes, pressed together; at most 16. */
  sendKeys(codes: readonly number[], options?: CallOptions & { holdMs?: number }): Promise<void>;
  stats(options?: CallOptions): Promise<RawStats>;
  /** One JSON command to QEMU's monitor → its whole JSON answer, errors included. */
  monitorCommand(command: object, options?: CallOptions): Promise<unknown>;
  /** The balloon while running, the configured size while off. */
  setMemory(bytes: number, options?: CallOptions): Promise<void>;
  attachDevice(xml: string, impact: Impact, options?: CallOptions): Promise<void>;
  detachDevice(xml: string, impact: Impact, options?: CallOptions): Promise<void>;
  updateDevice(xml: string, impact: Impact, options?: CallOptions): Promise<void>;
  /** `disk`: the target name (`vda`) or the image's path. */
  resizeBlock(disk: string, bytes: number, options?: CallOptions): Promise<void>;
}

export interface StreamOptions extends CallOptions {
  /** Take it over from whoever holds it. */
  readonly force?: boolean;
}

export interface Screenshot {
  /** What the hypervisor made of it: `image/png` or `image/x-portable-pixmap`. */
  readonly mime: string;
  readonly bytes: Uint8Array<ArrayBuffer>;
}

export interface HypervisorNetwork {
  readonly ref: NetworkRef;
  state(options?: CallOptions): Promise<"absent" | "stopped" | "running">;
  /** Defines and starts it; running already = success. */
  up(xml: string, options?: CallOptions): Promise<void>;
  /** Stops and forgets it; absent = success. */
  down(options?: CallOptions): Promise<void>;
}

export type MachineEvent =
  /** What a poll found; the first one comes at once. */
  | { readonly kind: "state"; readonly status: MachineStatus }
  | { readonly kind: "lifecycle"; readonly event: string; readonly detail: string }
  | { readonly kind: "reboot" }
  | { readonly kind: "watchdog"; readonly action: string }
  | {
    readonly kind: "io_error";
    readonly path: string;
    readonly device: string;
    readonly action: string;
    /** `enospc` = the host's disk is full. */
    readonly reason: string;
  }
  /** The guest opened or closed its end of a channel; `id` is QEMU's device id. */
  | { readonly kind: "channel"; readonly id: string; readonly open: boolean }
  | { readonly kind: "connection"; readonly connected: boolean; readonly reason: string };
