/**
 * From what is recorded and what is found to the state that a new controller begins in. Pure. A
 * controller that died in a first boot leaves the fact `ended`: the next `up` goes on by the scripts'
 * done-marks, and nothing is ever wiped by itself (SPEC section 5).
 */
import type { MachineRecord, RecordedFirstBoot } from "./record.ts";
import {
  type Cause,
  DETACHED,
  type Failed,
  type FirstBoot,
  type MachineState,
  NO_CRASHES,
  UNKNOWN_BOOT,
} from "./state.ts";

export interface Found {
  /** The machine's disk is in place. */
  readonly overlay: boolean;
  readonly power: "off" | "running" | "paused";
}

export interface Recovered {
  readonly state: MachineState;
  /** To be handed to `observe({kind: "take_up", what})` before any request. */
  readonly takeUp?: "destroy" | "greet";
}

export function recoverState(record: MachineRecord | undefined, found: Found): Recovered {
  if (record === undefined) return { state: { kind: "absent" } };
  const first_boot = recoverFirstBoot(record.first_boot, found.overlay);
  if (record.phase.kind === "destroying" || record.desired === "destroyed") {
    return { state: { kind: "stopped", first_boot, how: "as_found" }, takeUp: "destroy" };
  }
  const failure = recoverFailure(record, first_boot);
  if (found.power === "running") {
    // Only `up` and `provision` try again: a new daemon must not run a failed script unasked. One that
    // was off with its failure has been switched on since, and is greeted as any machine found running.
    if (failure !== undefined && !record.phase.text.endsWith(", off)")) {
      return { state: { ...failure, power: "running" } };
    }
    return { state: { kind: "stopped", first_boot, how: "as_found" }, takeUp: "greet" };
  }
  if (found.power === "paused") {
    return {
      state: {
        kind: "paused",
        // Whoever paused it: the words of the record are the better guess.
        why: record.phase.kind === "paused" && record.phase.text.startsWith("paused (asked")
          ? "asked"
          : "from_outside",
        run: {
          operation: record.operation?.id ?? "recovered",
          owner: DETACHED,
          why: "found",
          crashes: NO_CRASHES,
          reboots: 0,
          losses: 0,
        },
        ready: { kind: "not_ready", why: "it was paused when it was found" },
        agent: { kind: "lost", boot_id: recoverBoot(record) },
        since: 0,
      },
    };
  }
  if (first_boot.kind === "not_begun" && record.drives.length === 0) {
    return { state: { kind: "absent" } };
  }
  return { state: failure ?? { kind: "stopped", first_boot, how: "as_found" } };
}

/** The boot whose scripts have been gone through, where one is on record. */
function recoverBoot({ phase, agent }: MachineRecord): string {
  const settled = phase.kind === "running" || phase.kind === "paused";
  return settled && agent?.boot_id !== undefined ? agent.boot_id : UNKNOWN_BOOT;
}

/** The failure that is on record, of a machine that is off until something else is found. */
function recoverFailure(record: MachineRecord, first_boot: FirstBoot): Failed | undefined {
  const { kind, cause } = record.phase;
  if (kind !== "failed" || cause === undefined) return undefined;
  const kept: Cause = {
    code: cause.code,
    message: cause.message,
    ...(cause.hint === undefined ? {} : { hint: cause.hint }),
  };
  return {
    kind: "failed",
    cause: kept,
    power: "off",
    owner: DETACHED,
    first_boot,
    cleaning: false,
  };
}

function recoverFirstBoot(recorded: RecordedFirstBoot, overlay: boolean): FirstBoot {
  switch (recorded.kind) {
    case "not_begun":
      // A disk that the record does not know of counts as worked in.
      return overlay ? { kind: "done" } : recorded;
    case "under_way":
      // Recorded ahead of the disk: without one there is nothing to be careful with.
      return overlay ? { kind: "ended", why: "daemon_restarted" } : { kind: "not_begun" };
    case "ended":
      return recorded;
    case "done":
      return { kind: "done" };
  }
}
