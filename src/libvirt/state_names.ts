/** libvirt's numbers for states, reasons and events as words, in libvirt's own order. Pure. */
import type { RawState } from "./operations/machine.ts";

export interface MachineState {
  readonly state: RunState;
  readonly reason: string;
}

export type RunState =
  | "unknown"
  | "running"
  | "paused"
  | "shutting_down"
  | "off"
  | "crashed"
  | "suspended";

/** virDomainState. `blocked` (waiting for I/O) is running to everyone but a scheduler. */
const STATES: readonly RunState[] = [
  "unknown",
  "running",
  "running",
  "paused",
  "shutting_down",
  "off",
  "crashed",
  "suspended",
];

const REASONS: readonly (readonly string[])[] = [
  ["unknown"],
  [
    "unknown",
    "booted",
    "migrated",
    "restored",
    "from_snapshot",
    "resumed",
    "migration_cancelled",
    "save_cancelled",
    "woken",
    "crashed",
    "postcopy",
    "postcopy_failed",
  ],
  ["unknown"],
  [
    "unknown",
    "user",
    "migration",
    "save",
    "dump",
    "io_error",
    "watchdog",
    "from_snapshot",
    "shutting_down",
    "snapshot",
    "panicked",
    "starting",
    "postcopy",
    "postcopy_failed",
    "api_error",
  ],
  ["unknown", "user"],
  [
    "unknown",
    "shutdown",
    "forced_off",
    "crashed",
    "migrated",
    "saved",
    "failed",
    "from_snapshot",
    "daemon",
  ],
  ["unknown", "panicked"],
  ["unknown"],
];

const LIFECYCLE: readonly (readonly [string, readonly string[]])[] = [
  ["defined", ["added", "updated", "renamed", "from_snapshot"]],
  ["undefined", ["removed", "renamed"]],
  ["started", ["booted", "migrated", "restored", "from_snapshot", "woken"]],
  ["paused", [
    "user",
    "migrated",
    "io_error",
    "watchdog",
    "restored",
    "from_snapshot",
    "api_error",
    "postcopy",
    "postcopy_failed",
  ]],
  ["resumed", ["resumed", "migrated", "from_snapshot", "postcopy", "postcopy_failed"]],
  ["stopped", [
    "shutdown",
    "forced_off",
    "crashed",
    "migrated",
    "saved",
    "failed",
    "from_snapshot",
  ]],
  ["shutting_down", ["finished", "guest", "host"]],
  ["suspended", ["memory", "disk"]],
  ["crashed", ["panicked", "crashloaded"]],
];

/** virDomainEventWatchdogAction, virDomainEventIOErrorAction */
const WATCHDOG = ["none", "pause", "reset", "poweroff", "shutdown", "debug", "inject_nmi"];
const IO_ERROR = ["none", "pause", "report"];

export function stateName({ state, reason }: RawState): MachineState {
  return {
    state: STATES[state] ?? "unknown",
    reason: REASONS[state]?.[reason] ?? "unknown",
  };
}

export function lifecycleName(event: number, detail: number): { event: string; detail: string } {
  const [name, details] = LIFECYCLE[event] ?? ["unknown", []];
  return { event: name, detail: details[detail] ?? "unknown" };
}

export function watchdogName(action: number): string {
  return WATCHDOG[action] ?? "unknown";
}

export function ioErrorName(action: number): string {
  return IO_ERROR[action] ?? "unknown";
}
