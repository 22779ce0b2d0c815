/**
 * Everything that can happen to a machine, as data. Three sources: somebody asks (a request, already
 * admitted by `admit.ts`), our own work ends, or the world changes (the hypervisor, the guest). Every
 * event carries the monotonic time, so that `step` needs no clock.
 */
import type { Cause, ClientId, OperationId, ProvisionScope, ResetScope } from "./state.ts";

/** What a client may ask for. `operation` names this very request for ever. */
export type Request =
  | {
    readonly kind: "up";
    readonly operation: OperationId;
    readonly client: ClientId;
    /** `-d`, or no terminal: leaves at ready. */
    readonly detach: boolean;
    /** `--attach`: takes the ownership of a run that is not its own. */
    readonly attach: boolean;
    readonly reset?: ResetScope;
  }
  | { readonly kind: "interrupt"; readonly operation: OperationId; readonly client: ClientId }
  | {
    readonly kind: "down";
    readonly operation: OperationId;
    readonly client: ClientId;
    readonly force: boolean;
    readonly timeoutMs: number;
  }
  | { readonly kind: "destroy"; readonly operation: OperationId; readonly client: ClientId }
  | {
    readonly kind: "restart";
    readonly operation: OperationId;
    readonly client: ClientId;
    readonly timeoutMs: number;
  }
  | { readonly kind: "pause"; readonly operation: OperationId; readonly client: ClientId }
  | { readonly kind: "resume"; readonly operation: OperationId; readonly client: ClientId }
  | {
    readonly kind: "provision";
    readonly operation: OperationId;
    readonly client: ClientId;
    readonly scope: ProvisionScope;
  }
  | { readonly kind: "release"; readonly operation: OperationId };

export type RequestKind = Request["kind"];

/** Why a client is not there any more; none of these stops or wipes anything. */
export type LeaveWhy = "detached" | "gone" | "timeout";

/** The agent's first words, as far as the machine's life is concerned. */
export interface Hello {
  readonly boot_id: string;
  /** The sentinel: every System script of the first boot passed. */
  readonly first_boot_done: boolean;
  /** Script → hash, of the System scripts that passed. */
  readonly scripts: Readonly<Record<string, string>>;
  readonly version: string;
}

export interface QemuProcess {
  readonly pid: number;
  readonly start_time: number;
}

export interface PlanChanges {
  /** Sentences, already applied. */
  readonly applied: readonly string[];
  /** Sentences that say what the change needs. */
  readonly needs: readonly string[];
}

/** What each kind of work answers when it succeeds. */
export interface WorkResults {
  /** `new`: no disk was there; `replacement`: `--reset` built one beside the old. */
  readonly gather: { readonly disk: "new" | "replacement" | "existing" };
  readonly publish: Record<string, never>;
  readonly back_off: Record<string, never>;
  /** `found`: what became of it before the launch had ended; nobody else tells it. */
  readonly launch: { readonly qemu?: QemuProcess; readonly found?: Trouble };
  readonly greet: Hello;
  /** Script → hash, of all that have passed by now. */
  readonly provision: { readonly scripts: Readonly<Record<string, string>> };
  readonly await_ready: { readonly ready: boolean; readonly why?: string };
  readonly apply: PlanChanges;
  readonly reprovision: { readonly scripts: Readonly<Record<string, string>> };
  readonly restore: Record<string, never>;
  readonly pause: Record<string, never>;
  readonly resume: Record<string, never>;
  /** `off: false`: the time was not enough, nothing else was wrong. */
  readonly shut_down: { readonly off: boolean };
  readonly force_off: Record<string, never>;
  /** `drives`: disks that this operation did not make were kept, and the folder with them. */
  readonly discard: Record<string, never>;
  readonly wipe: { readonly left: "nothing" | "drives" };
  readonly remove: Record<string, never>;
}

export type WorkKind = keyof WorkResults;

export type WorkDone = {
  readonly [W in WorkKind]: {
    readonly kind: "done";
    readonly work: W;
    readonly operation: OperationId;
    readonly result: WorkResults[W];
  };
}[WorkKind];

export interface WorkFailed {
  readonly kind: "failed";
  readonly work: WorkKind;
  readonly operation: OperationId;
  readonly cause: Cause;
}

/** What the world says of its own accord. */
export type WorldFact =
  | { readonly kind: "client_left"; readonly client: ClientId; readonly why: LeaveWhy }
  | {
    readonly kind: "off_seen";
    /** `guest`: an orderly power-off; `outside`: virsh destroy; `crashed`: QEMU died. */
    readonly how: "guest" | "outside" | "crashed";
    readonly detail: string;
  }
  | { readonly kind: "on_seen"; readonly operation: OperationId }
  | { readonly kind: "rebooted" }
  | { readonly kind: "panicked" }
  | { readonly kind: "paused_seen"; readonly why: "from_outside" | "disk_full" | "io_error" }
  | { readonly kind: "resumed_seen" }
  | { readonly kind: "agent_up"; readonly operation: OperationId; readonly hello: Hello }
  | { readonly kind: "agent_lost"; readonly detail: string }
  | { readonly kind: "hypervisor_lost"; readonly detail: string }
  | { readonly kind: "hypervisor_back" };

/** A machine that should run and does not. */
export type Trouble = Extract<
  WorldFact,
  { readonly kind: "off_seen" | "panicked" | "paused_seen" }
>;

/** The write-ahead record could not be written; what was to follow has not been done. */
export interface SaveFailed {
  readonly kind: "save_failed";
  readonly cause: Cause;
}

/** A crash left work undone: begin with it. Given once, by the composer, right after creation. */
export interface TakeUp {
  readonly kind: "take_up";
  readonly operation: OperationId;
  readonly what: "destroy" | "greet";
}

export type EventBody = Request | WorkDone | WorkFailed | WorldFact | SaveFailed | TakeUp;

/** `at`: monotonic milliseconds. */
export type Event = EventBody & { readonly at: number };
export type EventKind = Event["kind"];
