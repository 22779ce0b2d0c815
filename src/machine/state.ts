/**
 * A machine's whole life as one sum type. Each variant holds exactly what exists in that phase, so
 * that what must not be asked (the owner of a stopped machine, the stage of a running one) cannot be
 * asked. There is no flag beside it: what an interrupt does, whether a wipe is allowed, what `down`
 * has to wait for, all follow from the value alone. `step.ts` is the design and its table.
 */
import type { ErrorCode } from "../base/errors.ts";

/** One accepted `up`, `down`, `destroy` …; unique for ever, never reused after a restart. */
export type OperationId = string;
/** One connection of one command. */
export type ClientId = string;

/**
 * The durable fact that decides whether an interrupt may wipe (SPEC section 5). `not_begun` means
 * that no disk of this machine exists; every doubt is read as `done`.
 */
export type FirstBoot =
  | { readonly kind: "not_begun" }
  | { readonly kind: "under_way"; readonly operation: OperationId }
  | { readonly kind: "ended"; readonly why: EndedWhy }
  | { readonly kind: "done" };

export type EndedWhy =
  | "script_failed"
  | "timeout"
  | "failed"
  | "daemon_restarted"
  | "recovered"
  | "stopped";

/** `operation` is the owner's own `up`: only a first boot that this very one began may be wiped. */
export type Owner =
  | {
    readonly kind: "attached";
    readonly client: ClientId;
    readonly operation: OperationId;
    /** `-d`: the owner leaves by itself when the machine is ready. */
    readonly until: "ready" | "interrupt";
  }
  | { readonly kind: "detached" };

export const DETACHED: Owner = Object.freeze({ kind: "detached" });

/** One stretch of being up, from the `up` (or restart, crash, discovery) that began it. */
export interface Run {
  readonly operation: OperationId;
  readonly owner: Owner;
  readonly why: "up" | "restart" | "recovery" | "found";
  readonly crashes: CrashHistory;
  /** Guest reboots while still provisioning; a script that reboots for ever is stopped by count. */
  readonly reboots: number;
  /** The agent went away in the same boot while still provisioning; bounded by count as well. */
  readonly losses: number;
  /** Begun by `rum provision` on a failed machine: what to run again, and for whom. */
  readonly again?: { readonly scope: ProvisionScope; readonly client: ClientId };
}

/** `due`: what this boot still owes, by the scripts' done-marks. */
export type ProvisionScope = "due" | "system" | "boot" | "all";

/** What the restart limiter remembers; monotonic milliseconds. */
export interface CrashHistory {
  /** Crashes within the limiter's window, oldest first. */
  readonly recent: readonly number[];
  /** Restarts since the machine was last stable; sets the back-off. */
  readonly streak: number;
}

export const NO_CRASHES: CrashHistory = Object.freeze({ recent: Object.freeze([]), streak: 0 });

/** An error as data: it is recorded, sent and compared. */
export interface Cause {
  readonly code: ErrorCode;
  readonly message: string;
  readonly hint?: string;
  readonly data?: Readonly<Record<string, unknown>>;
}

export type ResetScope = "disk" | "all";

/** Work on a machine that stays up meanwhile. */
export interface Task {
  readonly work: "apply" | "await_ready" | "reprovision" | "restore" | "pause" | "resume";
  readonly operation: OperationId;
  readonly client?: ClientId;
  /** The work was told to stop and is cleaning up. */
  readonly cancelled: boolean;
  /** An `up` of a paused machine resumes it, then looks at the plan. */
  readonly then?: "apply";
}

export type Agent =
  | { readonly kind: "up"; readonly boot_id: string }
  | { readonly kind: "lost"; readonly boot_id: string }
  /** It came back while something was under way; forwards and services are restored when that ends. */
  | {
    readonly kind: "back";
    readonly boot_id: string;
    readonly operation: OperationId;
    /** Of a boot that nobody greeted yet: its scripts are gone through before that. */
    readonly unknown?: true;
  };

/** The boot id of a machine that was found and whose record names no boot. */
export const UNKNOWN_BOOT = "";

export type Readiness =
  | { readonly kind: "ready" }
  | { readonly kind: "not_ready"; readonly why: string };

export type StoppedHow =
  | "as_found"
  | "graceful"
  | "forced"
  | "by_guest"
  | "from_outside"
  | "never_started";

export type Goal =
  | { readonly kind: "stopped" }
  /** Remove the half-made disk of the first boot that `operation` began. */
  | { readonly kind: "wiped"; readonly operation: OperationId }
  | { readonly kind: "start"; readonly run: Run; readonly reset?: ResetScope }
  /** The restart policy: off, then on again after the back-off. */
  | { readonly kind: "recover"; readonly run: Run; readonly cause: Cause };

export interface Absent {
  readonly kind: "absent";
}
export interface Stopped {
  readonly kind: "stopped";
  readonly first_boot: FirstBoot;
  readonly how: StoppedHow;
}
export interface Preparing {
  readonly kind: "preparing";
  /** `gathering` makes nothing visible; `publishing` renames the disk into place, defines. */
  readonly stage: "gathering" | "publishing";
  readonly run: Run;
  readonly first_boot: FirstBoot;
  readonly reset?: ResetScope;
}
export interface Starting {
  readonly kind: "starting";
  /** `settling`: the guest rebooted, the work of the boot before is being called off. */
  readonly stage: "backing_off" | "launching" | "greeting" | "settling";
  readonly run: Run;
  readonly first_boot: FirstBoot;
  /** The boot whose agent went away: the hello that is waited for tells whether the guest rebooted. */
  readonly lost?: string;
}
export interface Provisioning {
  readonly kind: "provisioning";
  readonly stage: "scripts" | "readying";
  readonly run: Run;
  readonly first_boot: FirstBoot;
  readonly agent: Agent;
}
export interface Running {
  readonly kind: "running";
  readonly run: Run;
  readonly ready: Readiness;
  readonly agent: Agent;
  /** Monotonic milliseconds. */
  readonly since: number;
  readonly task?: Task;
}
export interface Paused {
  readonly kind: "paused";
  readonly run: Run;
  readonly why: "asked" | "from_outside" | "disk_full" | "io_error";
  readonly ready: Readiness;
  readonly agent: Agent;
  readonly since: number;
  readonly task?: Task;
}
export interface Failed {
  readonly kind: "failed";
  readonly cause: Cause;
  readonly power: "running" | "off";
  readonly owner: Owner;
  readonly first_boot: FirstBoot;
  /** Work was called off and has not ended yet; nothing new starts before it has. */
  readonly cleaning: boolean;
}
export interface Stopping {
  readonly kind: "stopping";
  readonly operation: OperationId;
  /** Who asked: their second interrupt forces, anybody else's only leaves. */
  readonly by?: ClientId;
  /** `discarding`: what a called-off preparation left under pending names goes. */
  readonly stage: "cancelling" | "graceful" | "forcing" | "discarding" | "wiping";
  readonly goal: Goal;
  readonly power: "on" | "off";
  /** How it will be, or was, put off. */
  readonly how: StoppedHow;
  readonly timeoutMs: number;
  readonly first_boot: FirstBoot;
}
export interface Destroying {
  readonly kind: "destroying";
  readonly operation: OperationId;
  readonly stage: "cancelling" | "forcing" | "removing";
}
/** A destroy that failed half-way: only another `destroy` makes sense of what is left. */
export interface Stuck {
  readonly kind: "stuck";
  readonly cause: Cause;
}
/** The controller is over, not only the machine's run: after this nothing is ever done again. */
export interface Over {
  readonly kind: "over";
  readonly how: "destroyed" | "wiped" | "released";
}

export type MachineState =
  | Absent
  | Stopped
  | Preparing
  | Starting
  | Provisioning
  | Running
  | Paused
  | Failed
  | Stopping
  | Destroying
  | Stuck
  | Over;

export type PhaseName = MachineState["kind"];

/** The owner of the run, where there is one. */
export function ownerOf(state: MachineState): Owner {
  switch (state.kind) {
    case "preparing":
    case "starting":
    case "provisioning":
    case "running":
    case "paused":
      return state.run.owner;
    case "failed":
      return state.owner;
    default:
      return DETACHED;
  }
}

/** A running machine has a finished first boot; an absent one has none. */
export function firstBootOf(state: MachineState): FirstBoot {
  switch (state.kind) {
    case "stopped":
    case "preparing":
    case "starting":
    case "provisioning":
    case "failed":
    case "stopping":
      return state.first_boot;
    case "running":
    case "paused":
      return { kind: "done" };
    default:
      return { kind: "not_begun" };
  }
}

/** Does some work of ours run that has to end before other work may begin? */
export function isWorking(state: MachineState): boolean {
  switch (state.kind) {
    case "preparing":
    case "starting":
    case "provisioning":
    case "stopping":
    case "destroying":
      return true;
    case "running":
    case "paused":
      return state.task !== undefined;
    case "failed":
      return state.cleaning;
    default:
      return false;
  }
}

/** A first boot that is given up: never wiped by itself from here on. */
export function endFirstBoot(fact: FirstBoot, why: EndedWhy): FirstBoot {
  return fact.kind === "under_way" ? { kind: "ended", why } : fact;
}

/** `starting (greeting)`: what people and traces read. */
export function describePhase(state: MachineState): string {
  switch (state.kind) {
    case "preparing":
    case "starting":
    case "provisioning":
    case "destroying":
      return `${state.kind} (${state.stage})`;
    case "stopping":
      return `stopping (${state.stage}, then ${state.goal.kind})`;
    case "running": {
      const task = state.task === undefined ? "" : `, ${state.task.work}`;
      return `running (${state.run.owner.kind}, ${state.ready.kind}${task})`;
    }
    case "paused":
      return `paused (${state.why}${state.task === undefined ? "" : `, ${state.task.work}`})`;
    case "failed":
      return `failed (${state.cause.code}, ${state.power})`;
    case "stopped":
    case "over":
      return `${state.kind} (${state.how})`;
    case "stuck":
      return `stuck (destroy failed: ${state.cause.code})`;
    case "absent":
      return "absent";
  }
}
