/**
 * The supervisor's state, and the draft of the next one while a step is worked out: what may be
 * changed, and the effects in the order of the changes. Nothing here decides; `supervisor.ts` and
 * `requests.ts` do.
 */
import type { ErrorCode } from "../base/errors.ts";
import type { ServiceSpec } from "../protocol/services.ts";
import {
  type Instance,
  type InstanceEffect,
  type InstanceEvent,
  NEW_INSTANCE,
  type Now,
  stepInstance,
} from "./instance.ts";

export interface InstanceKey {
  readonly service: string;
  readonly index: number;
}

export interface ServiceEntry {
  readonly spec: ServiceSpec;
  readonly instances: readonly Instance[];
  /** False after a `stop`: it stays stopped until a `start`, also over a new spec. */
  readonly wanted: boolean;
  /** Gone from the spec; kept until its last process has ended. */
  readonly removing: boolean;
  /** Indexes that are to start once the services in `after` run. */
  readonly waiting: readonly number[];
}

export interface Supervisor {
  readonly services: ReadonlyMap<string, ServiceEntry>;
  readonly pending: readonly Pending[];
  /** Never taken back (INV-D001). */
  readonly shuttingDown: boolean;
  /** The highest of instances that are no more: one that comes in their place goes on from there. */
  readonly lastGeneration: number;
}

export type Verb = "start" | "stop" | "restart" | "reload";

export type SupervisorEvent =
  | { readonly kind: "request"; readonly id: number; readonly verb: Verb; readonly name: string }
  | { readonly kind: "apply"; readonly id: number; readonly specs: readonly ServiceSpec[] }
  | { readonly kind: "shutdown"; readonly id: number }
  /** Once, at the supervisor's own start: what it knew and what still runs. */
  | {
    readonly kind: "restore";
    readonly specs: readonly ServiceSpec[];
    /** Stopped by request before. */
    readonly stopped: readonly string[];
    readonly found: readonly {
      readonly key: InstanceKey;
      readonly process: Extract<InstanceEvent, { kind: "adopted" }>;
    }[];
  }
  | { readonly kind: "instance"; readonly key: InstanceKey; readonly event: InstanceEvent };

export type SupervisorEffect =
  | {
    readonly kind: "instance";
    readonly key: InstanceKey;
    readonly spec: ServiceSpec;
    readonly effect: InstanceEffect;
  }
  | { readonly kind: "reply"; readonly id: number; readonly reply: Reply }
  /** The instance is no more; its timers and log files may go. */
  | { readonly kind: "forget"; readonly key: InstanceKey };

export type Reply =
  | { readonly ok: true; readonly message: string }
  | { readonly ok: false; readonly code: ErrorCode; readonly message: string };

/** A request that was accepted and not answered yet. */
export interface Pending {
  readonly id: number;
  readonly kind: Verb | "apply" | "shutdown";
  readonly services: readonly string[];
  /** What to say when it went well. */
  readonly said: string;
  /** Reload: instances still to do, and the one under way with its old generation. */
  readonly roll?: {
    readonly left: readonly { readonly service: string; readonly index: number }[];
    readonly at?: { readonly service: string; readonly index: number; readonly old: number };
  };
}

export const SHUTTING_DOWN: Reply = {
  ok: false,
  code: "shutting_down",
  message: "The guest's services are being shut down, and nothing is started any more",
};

export const NO_SERVICES: Supervisor = {
  services: new Map(),
  pending: [],
  shuttingDown: false,
  lastGeneration: 0,
};

/** The state while one step is worked out: a copy, then effects in the order of the changes. */
export class Draft {
  readonly services: Map<string, ServiceEntry>;
  readonly effects: SupervisorEffect[] = [];
  readonly now: Now;
  pending: Pending[];
  shuttingDown: boolean;
  lastGeneration: number;

  constructor(state: Supervisor, now: Now) {
    this.services = new Map(state.services);
    this.pending = [...state.pending];
    this.shuttingDown = state.shuttingDown;
    this.lastGeneration = state.lastGeneration;
    this.now = now;
  }

  entry(service: string): ServiceEntry | undefined {
    return this.services.get(service);
  }

  change(service: string, change: Partial<ServiceEntry>): void {
    this.services.set(service, { ...this.services.get(service)!, ...change });
  }

  /**
   * Instances that were never there. A place may be taken again while a health check of the one
   * before is still out: its news must be of another generation (CTR-D004).
   */
  newInstances(count: number): Instance[] {
    const one: Instance = { ...NEW_INSTANCE, generation: this.lastGeneration };
    return Array.from({ length: count }, () => one);
  }

  /**
   * Moves one instance and notes what it wants done. What has no place in the spec any more can only
   * end: a `restart` that comes while it is being stopped must not bring it back (INV-D004, INV-D006).
   */
  move(key: InstanceKey, event: InstanceEvent): void {
    const entry = this.services.get(key.service);
    const instance = entry?.instances[key.index];
    // Late news of an instance that was scaled away.
    if (entry === undefined || instance === undefined) return;
    const extra = entry.removing || key.index >= entry.spec.instances;
    if (extra && (event.kind === "start" || event.kind === "restart")) return;
    const [next, effects] = stepInstance(instance, event, entry.spec, this.now);
    if (next !== instance) {
      this.change(key.service, { instances: entry.instances.with(key.index, next) });
    }
    for (const effect of effects) {
      this.effects.push({ kind: "instance", key, spec: entry.spec, effect });
      if (effect.kind === "stuck") this.#stuck(key);
    }
  }

  moveAll(service: string, event: InstanceEvent): void {
    const { length } = this.services.get(service)!.instances;
    for (let index = length - 1; index >= 0; index--) this.move({ service, index }, event);
  }

  reply(id: number, reply: Reply): void {
    this.effects.push({ kind: "reply", id, reply });
  }

  /** Marks instances to be started as soon as their turn comes. */
  queueStart(service: string, indexes: readonly number[]): void {
    const { waiting } = this.services.get(service)!;
    this.change(service, { waiting: [...new Set([...waiting, ...indexes])] });
  }

  /** Whoever waits for this service is told that something else came first. */
  withdraw(service: string, why: string): void {
    this.pending = this.pending.filter((pending) => {
      if (pending.kind === "apply" || pending.kind === "shutdown") return true;
      if (!pending.services.includes(service)) return true;
      this.reply(pending.id, {
        ok: false,
        code: "cancelled",
        message: `The ${pending.kind} of service "${service}" was called off: ${why}`,
      });
      return false;
    });
  }

  /** A process that KILL does not end: whoever waits for it is told, instead of waiting on. */
  #stuck(key: InstanceKey): void {
    this.pending = this.pending.filter((pending) => {
      if (!pending.services.includes(key.service)) return true;
      this.reply(pending.id, {
        ok: false,
        code: "timeout",
        message:
          `Service "${key.service}" [${key.index}] did not end within 5 s of KILL: its process hangs in the guest's kernel`,
      });
      return false;
    });
  }
}
