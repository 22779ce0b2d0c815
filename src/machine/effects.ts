/**
 * What `step` wants done, as data, and the ports through which the interpreter gets it done. Effects
 * of one step are carried out in order; a `save` is on disk before the next one begins, which is
 * what makes the first-boot fact durable before anything acts on it.
 */
import type { EventBody as MachineEventBody } from "../protocol/machine_events.ts";
import type { WorkKind, WorkResults } from "./events.ts";
import type { RecordedPhase, RecordPatch } from "./record.ts";
import type { FirstBoot, OperationId, ProvisionScope, ResetScope } from "./state.ts";

/** One piece of work. At most one is in flight per machine; its end comes back as an event. */
export type Work =
  | {
    readonly work: "gather";
    readonly operation: OperationId;
    readonly first_boot: FirstBoot;
    readonly reset?: ResetScope;
  }
  | {
    readonly work: "publish";
    readonly operation: OperationId;
    readonly first_boot: FirstBoot;
    readonly reset?: ResetScope;
  }
  | { readonly work: "back_off"; readonly operation: OperationId; readonly ms: number }
  | { readonly work: "launch"; readonly operation: OperationId }
  | { readonly work: "greet"; readonly operation: OperationId }
  | {
    readonly work: "provision";
    readonly operation: OperationId;
    readonly scope: ProvisionScope;
    readonly first_boot: FirstBoot;
  }
  | { readonly work: "await_ready"; readonly operation: OperationId }
  | { readonly work: "apply"; readonly operation: OperationId }
  | {
    readonly work: "reprovision";
    readonly operation: OperationId;
    readonly scope: ProvisionScope;
  }
  | { readonly work: "restore"; readonly operation: OperationId }
  | { readonly work: "pause"; readonly operation: OperationId }
  | { readonly work: "resume"; readonly operation: OperationId }
  | { readonly work: "shut_down"; readonly operation: OperationId; readonly timeoutMs: number }
  | { readonly work: "force_off"; readonly operation: OperationId }
  | { readonly work: "discard"; readonly operation: OperationId }
  | { readonly work: "wipe"; readonly operation: OperationId }
  | { readonly work: "remove"; readonly operation: OperationId };

/** A patch whose times the interpreter fills in: `step` has no calendar. */
export type SavePatch = Omit<RecordPatch, "phase" | "operation"> & {
  readonly phase?: Omit<RecordedPhase, "since">;
  /** null: none is under way any more. */
  readonly operation?: { readonly id: OperationId; readonly kind: string } | null;
};

export type Effect =
  /** `barrier`: when it cannot be written, the rest of the list is dropped and `save_failed` comes. */
  | { readonly kind: "save"; readonly patch: SavePatch; readonly barrier: boolean }
  | ({ readonly kind: "work" } & Work)
  /** Abort what is in flight; its end still comes. */
  | { readonly kind: "cancel"; readonly why: string }
  | { readonly kind: "emit"; readonly event: MachineEventBody };

export interface WorkContext {
  readonly operation: OperationId;
  /** Aborted by a cancel or by the deadline; the port cleans up what is not visible yet, then ends. */
  readonly signal: AbortSignal;
  /** Every work has one; the port says what it waited for when it passes. */
  readonly deadlineMs: number;
}

/**
 * Disks, seed and definition. Every method can be repeated after a crash at any point of itself.
 * None of them may touch what this machine's UUID and metadata do not both name.
 */
export interface Preparer {
  /** Image and new disks under pending names; when cancelled, leaves nothing. */
  gather(
    context: WorkContext & { readonly firstBoot: FirstBoot; readonly reset?: ResetScope },
  ): Promise<WorkResults["gather"]>;
  /** Renames the disk into place (for `reset`: swaps), writes seed, defines. */
  publish(
    context: WorkContext & { readonly firstBoot: FirstBoot; readonly reset?: ResetScope },
  ): Promise<void>;
  /** Removes what `gather` left under pending names; the disks in place are not touched. */
  discard(context: WorkContext): Promise<void>;
  /** Removes what `operation` made, and the folder unless older disks are in it. */
  wipe(context: WorkContext): Promise<WorkResults["wipe"]>;
  /** Undefine; disks, networks, state; the folder last. */
  remove(context: WorkContext): Promise<void>;
}

export interface Hypervisor {
  /** Makes it run: starts when off, resumes when paused, does nothing when running. */
  launch(context: WorkContext): Promise<WorkResults["launch"]>;
  /** ACPI (after resuming a paused one) and waits; `off: false` when the time was not enough. */
  shutDown(context: WorkContext): Promise<WorkResults["shut_down"]>;
  /** Success when it is off already, or not defined. */
  forceOff(context: WorkContext): Promise<void>;
  pause(context: WorkContext): Promise<void>;
  /** Also corrects the guest's clock. */
  resume(context: WorkContext): Promise<void>;
}

export interface Guest {
  /** Waits for the agent's hello of the present boot. */
  greet(context: WorkContext): Promise<WorkResults["greet"]>;
  /**
   * Applies the plan to the guest, then runs the scripts. `provision_failed` when one fails. `boot`:
   * on the way to a running machine, which takes over what the last `up` wanted.
   */
  provision(
    context: WorkContext & { readonly scope: ProvisionScope; readonly boot: boolean },
  ): Promise<WorkResults["provision"]>;
  /** Forwards, services, then what `[ready]` asks for; its time-out is an answer, not an error. */
  awaitReady(context: WorkContext): Promise<WorkResults["await_ready"]>;
  /** The difference between the recorded plan and the new one, on the running machine. */
  applyChanges(context: WorkContext): Promise<WorkResults["apply"]>;
  /** Forwards and services again, after the agent came back in the same boot. */
  restore(context: WorkContext): Promise<void>;
  /** TERM, 10 s, KILL; best effort, the machine goes off either way. */
  stopServices(context: WorkContext): Promise<void>;
}

export interface Recorder {
  /** Durable when it resolves. Calls never overlap. */
  save(patch: RecordPatch): Promise<void>;
}

export interface Ports {
  readonly preparer: Preparer;
  readonly hypervisor: Hypervisor;
  readonly guest: Guest;
  readonly recorder: Recorder;
}

/** How long each work may take before it counts as failed; `shut_down` and `back_off` bring their own. */
export type WorkDeadlines = Readonly<Record<Exclude<WorkKind, "shut_down" | "back_off">, number>>;

export const DEFAULT_DEADLINES: WorkDeadlines = Object.freeze({
  // Downloads have their own stall time-out, scripts their own limits; these are the outer walls.
  gather: 6 * 3_600_000,
  publish: 5 * 60_000,
  launch: 2 * 60_000,
  greet: 10 * 60_000,
  provision: 24 * 3_600_000,
  await_ready: 24 * 3_600_000,
  apply: 30 * 60_000,
  reprovision: 24 * 3_600_000,
  restore: 2 * 60_000,
  pause: 60_000,
  resume: 60_000,
  force_off: 60_000,
  discard: 60_000,
  wipe: 5 * 60_000,
  remove: 10 * 60_000,
});
