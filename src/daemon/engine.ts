/**
 * One machine, assembled: records, events, hypervisor, link to the guest, and the controller over
 * them. Whoever holds the machine's lock opens one (`open_engine.ts`): the daemon for as long as it
 * lives, a lone `down` or `destroy` for one request. There is no other code that changes a machine.
 */
import { type Clock } from "../base/clock.ts";
import type { Hypervisor, HypervisorMachine, MachineStatus } from "../libvirt/hypervisor.ts";
import { type MachineRecord } from "../machine/record.ts";
import { type MachineController } from "../machine/run.ts";
import type { HostEnv, MachinePaths, RumPaths } from "../plan/paths.ts";
import type { RecordedPlan } from "../plan/types.ts";
import { type ConsoleLog } from "./console_log.ts";
import { type Drift } from "./drift.ts";
import { type EventLog } from "./event_log.ts";
import { type GuestAddresses } from "./guest_addresses.ts";
import { type PoweredLink } from "./guest_link.ts";
import type { HypervisorContact } from "./hypervisor_contact.ts";
import { type Folders } from "./folders.ts";
import { type MachineForwards } from "./machine_forwards.ts";
import { type WantedPlan } from "./plan_source.ts";
import { type MachineServices } from "./services.ts";

export interface EngineOptions {
  readonly id: string;
  readonly paths: MachinePaths;
  readonly rum: RumPaths;
  readonly env: HostEnv;
  /** Of a machine that has no records yet. */
  readonly configPath?: string;
  readonly log: (text: string) => void;
  readonly clock?: Clock;
}

export interface Engine {
  readonly id: string;
  readonly paths: MachinePaths;
  readonly controller: MachineController;
  readonly events: EventLog;
  readonly hypervisor: Hypervisor;
  /** Whether it can be asked. */
  readonly contact: HypervisorContact;
  readonly link: PoweredLink;
  readonly addresses: GuestAddresses;
  readonly console: ConsoleLog;
  readonly forwards: MachineForwards;
  readonly folders: Folders;
  readonly services: MachineServices;
  readonly record: MachineRecord;
  machine(): HypervisorMachine;
  /** What libvirt said last; of before its loss while `contact` is degraded. */
  readonly hypervisorStatus: MachineStatus;
  /** The plan that the machine runs by; undefined before its first `up`. */
  readonly plan: RecordedPlan | undefined;
  /** Loads rum.toml; what `up` is about to ask for. Throws what is wrong with it. */
  want(signal?: AbortSignal): Promise<WantedPlan>;
  /** Before scripts run on request: from now on the wanted ones are the machine's. */
  adoptScripts(): Promise<void>;
  /** It ran when its host went down, and has not been started since. */
  readonly lostWithHost: boolean;
  /** What rum.toml says that the machine does not do yet. */
  readonly drift: Drift;
  close(): Promise<void>;
}
