/**
 * The machine's event stream: what goes to `events.jsonl`, to `rum events`, to hooks and to everyone
 * who follows an `up`. One numbered object a line. A kind never changes meaning; fields are only
 * added; a follower skips kinds it does not know. Text that came from a guest has been through
 * `printable` by whoever emits it, and secrets never get here (SPEC sections 10, 11).
 */
import type { ErrorCode } from "../base/errors.ts";

export interface EventHead {
  readonly v: 1;
  /** Counts from 1 for the life of the machine, over restarts of the daemon, without gaps. */
  readonly seq: number;
  /** ISO 8601. */
  readonly at: string;
}

export interface EventCause {
  readonly code: ErrorCode;
  readonly message: string;
  readonly hint?: string;
}

/** The machine went from one phase, or stage of a phase, to another. */
export interface PhaseEvent {
  readonly kind: "phase";
  readonly phase: string;
  readonly from: string;
  /** `starting (greeting)`: for people. */
  readonly text: string;
  /** The stage inside the phase, where it has one. */
  readonly stage?: string;
  readonly owner: "attached" | "detached";
  readonly first_boot: "not_begun" | "under_way" | "ended" | "done";
  readonly ready?: boolean;
  readonly cause?: EventCause;
}

/** A request that changes the machine was taken on, or has had its answer. */
export interface OperationEvent {
  readonly kind: "operation";
  readonly operation: string;
  readonly what: string;
  readonly state: "began" | "ended";
  readonly client?: string;
  /** At the end: what came of it, or the error's code. */
  readonly outcome?: string;
}

/** How far a long step is: a download, building a disk. At most a few a second. */
export interface ProgressEvent {
  readonly kind: "progress";
  /** One word, stable: `image`, `disk`, `seed`, `boot`, `agent`, `ready`. */
  readonly step: string;
  readonly text: string;
  readonly done?: number;
  readonly total?: number;
}

export interface ScriptEvent {
  readonly kind: "script";
  readonly script: string;
  readonly state: "started" | "passed" | "failed" | "skipped";
  readonly code?: number;
  readonly ms?: number;
  readonly reason?: string;
  readonly log?: string;
}

export interface LineEvent {
  readonly kind: "line";
  readonly script: string;
  readonly stream: "out" | "err";
  readonly text: string;
}

/** What happened to the guest as a whole. The kinds that a hook may be tied to. */
export interface GuestEvent {
  readonly kind: "guest";
  readonly what:
    | "rebooted"
    | "crashed"
    | "panicked"
    | "powered_off"
    | "forced_off"
    | "paused"
    | "resumed"
    | "disk_full"
    | "restarting"
    | "wiped"
    | "destroyed";
  readonly text: string;
}

export interface AgentEvent {
  readonly kind: "agent";
  readonly state: "up" | "lost";
  readonly boot_id?: string;
  readonly version?: string;
  readonly text?: string;
}

export interface ForwardEvent {
  readonly kind: "forward";
  readonly bind: string;
  readonly host: number;
  readonly guest: number;
  readonly proto: "tcp" | "udp";
  readonly state: "listening" | "failed" | "closed";
  readonly auto?: boolean;
  readonly text?: string;
}

export interface ServiceEvent {
  readonly kind: "service";
  readonly service: string;
  readonly index: number;
  /** A state of SPEC section 8, or `gone`: no longer in rum.toml. */
  readonly state: string;
  readonly text?: string;
}

/** What a new plan changed on the running machine, and what it could not. */
export interface ChangesEvent {
  readonly kind: "changes";
  readonly applied: readonly string[];
  readonly needs: readonly string[];
}

/** Somebody began or ceased to own the machine's run. */
export interface OwnerEvent {
  readonly kind: "owner";
  readonly state: "attached" | "detached";
  readonly client?: string;
  readonly why?: string;
}

export interface WarningEvent {
  readonly kind: "warning";
  readonly text: string;
  readonly code?: ErrorCode;
  readonly hint?: string;
}

export interface NoteEvent {
  readonly kind: "note";
  readonly text: string;
}

export type EventBody =
  | PhaseEvent
  | OperationEvent
  | ProgressEvent
  | ScriptEvent
  | LineEvent
  | GuestEvent
  | AgentEvent
  | ForwardEvent
  | ServiceEvent
  | ChangesEvent
  | OwnerEvent
  | WarningEvent
  | NoteEvent;

export type MachineEvent = EventHead & EventBody;
export type MachineEventKind = EventBody["kind"];

/** One line of `events.jsonl`, without the line feed. */
export function formatEvent(event: MachineEvent): string {
  return JSON.stringify(event);
}

/** A line of `events.jsonl`; undefined when it is torn (the last one after a crash) or foreign. */
export function parseEvent(line: string): MachineEvent | undefined {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    return undefined;
  }
  if (typeof value !== "object" || value === null) return undefined;
  const { v, seq, at, kind } = value as Record<string, unknown>;
  const fits = v === 1 && Number.isSafeInteger(seq) && (seq as number) > 0 &&
    typeof at === "string" && typeof kind === "string";
  return fits ? value as MachineEvent : undefined;
}

/** What the events say of the machine as it stands after the last of them. */
export interface Replayed {
  readonly seq: number;
  readonly phase: string;
  readonly text: string;
  readonly ready: boolean;
  readonly owner: "attached" | "detached";
  readonly agent: "up" | "lost" | "unknown";
  readonly cause?: EventCause;
  /** Script → how it last ended, or `started`. */
  readonly scripts: Readonly<Record<string, ScriptEvent["state"]>>;
  readonly forwards: readonly ForwardEvent[];
  /** `name/index` → state. */
  readonly services: Readonly<Record<string, string>>;
  /** Numbers that are missing: the log was cut, or a follower was too slow. */
  readonly missed: number;
}

/** Pure: the same events give the same summary, however they were batched. */
export function replay(events: Iterable<MachineEvent>): Replayed {
  let seq = 0;
  let missed = 0;
  let last: PhaseEvent | undefined;
  let owner: Replayed["owner"] = "detached";
  let agent: Replayed["agent"] = "unknown";
  const scripts: Record<string, ScriptEvent["state"]> = {};
  const forwards = new Map<string, ForwardEvent>();
  const services: Record<string, string> = {};
  for (const event of events) {
    if (seq !== 0 && event.seq > seq + 1) missed += event.seq - seq - 1;
    seq = event.seq;
    switch (event.kind) {
      case "phase":
        // The background process went, and the machine stayed as it was.
        if (event.phase !== "over") last = event;
        owner = event.owner;
        // Nothing in a guest outlives its power.
        if (["absent", "stopped", "over"].includes(event.phase)) {
          agent = "unknown";
          forwards.clear();
          for (const key of Object.keys(services)) delete services[key];
        }
        break;
      case "owner":
        owner = event.state;
        break;
      case "agent":
        agent = event.state;
        break;
      case "script":
        scripts[event.script] = event.state;
        break;
      case "forward": {
        const key = `${event.proto}/${event.bind}:${event.host}`;
        if (event.state === "closed") forwards.delete(key);
        else forwards.set(key, event);
        break;
      }
      case "service": {
        const key = `${event.service}/${event.index}`;
        if (event.state === "gone") delete services[key];
        else services[key] = event.state;
        break;
      }
      default:
        break;
    }
  }
  return {
    seq,
    phase: last?.phase ?? "absent",
    text: last?.text ?? "absent",
    ready: last?.ready ?? false,
    owner,
    agent,
    ...(last?.cause === undefined ? {} : { cause: last.cause }),
    scripts,
    forwards: [...forwards.values()],
    services,
    missed,
  };
}
