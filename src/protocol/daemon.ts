/**
 * What a machine's daemon and its clients say to each other: versions, limits, the hello, and every
 * method with its parameters, events and result. How calls travel is in `src/wire/rpc_types.ts`;
 * `docs/protocol.md` is the page for people. Grown by adding optional fields; a changed meaning
 * takes a new protocol number.
 */
import { type Infer, integer, object, optional, text } from "./shape.ts";

export const DAEMON_PROTOCOL = { min: 1, max: 1 } as const;

export const DAEMON_LIMITS = {
  helloBytes: 64 * 1024,
  helloMs: 5000,
  lineBytes: 64,
  /** Connections that have not said hello, or not ended their line; the oldest goes. */
  waiting: 16,
  established: 256,
  /** Besides those: places that only the line protocol may take. */
  lineReserve: 4,
  drainMs: 2000,
} as const;

/** The words of the line protocol. Frozen: every version of rum, past and future, knows these. */
export const LINE_WORDS = ["ping", "status", "release", "shutdown", "destroy"] as const;
export type LineWord = typeof LINE_WORDS[number];

const nonce = text(128);

/** client → daemon, the first frame. */
export const helloShape = object({
  hello: object({
    proto: object({ min: integer(0, 65535), max: integer(0, 65535) }),
    version: text(64),
    build: text(128),
    nonce,
  }),
});
export type Hello = Infer<typeof helloShape>["hello"];

/** daemon → client, the answer; `proof` shows that it knows the machine's token. */
export const welcomeShape = object({
  welcome: object({
    proto: integer(0, 65535),
    version: text(64),
    build: text(128),
    nonce,
    proof: text(128),
    pid: integer(1),
    config_hash: optional(text(128)),
  }),
});
export type Welcome = Infer<typeof welcomeShape>["welcome"] & {
  readonly capabilities: readonly string[];
  readonly limits: {
    readonly max_frame: number;
    readonly max_request: number;
    readonly max_calls: number;
    readonly input_window: number;
  };
};

/** client → daemon: it knows the token too. Requests may follow without waiting for an answer. */
export const proofShape = object({ proof: text(128) });

/** The highest version both know; undefined when the ranges do not meet. */
export function commonProtocol(
  a: { readonly min: number; readonly max: number },
  b: { readonly min: number; readonly max: number },
): number | undefined {
  const highest = Math.min(a.max, b.max);
  return highest >= Math.max(a.min, b.min) ? highest : undefined;
}

/** One JSON line on the stdout of a starting daemon, for the process that started it. */
export type Readiness =
  | { readonly ready: true; readonly pid: number; readonly socket: string }
  /** Somebody else holds the machine's lock: connect to them, or wait. */
  | { readonly ready: false; readonly already: Record<string, unknown> | null }
  /** It cannot start; an error document. */
  | { readonly ready: false; readonly error: { code: string; message: string; hint?: string } };

type Json = Readonly<Record<string, unknown>>;
interface None {
  readonly [key: string]: never;
}

/** A piece of a byte stream; base64, ≤ 64 KiB before encoding. */
export interface BytesEvent {
  readonly stream: "stdout" | "stderr" | "data";
  readonly data: string;
  /** The guest's half of the connection is over; ours may go on. */
  readonly end?: true;
}
export interface DroppedEvent {
  readonly type: "dropped";
  readonly count: number;
}
/** A typed, numbered event of the machine (`rum events`). */
export interface MachineEvent {
  readonly type: string;
  readonly seq?: number;
  readonly at?: string;
  readonly [key: string]: unknown;
}

export interface PingResult {
  readonly version: string;
  readonly pid: number;
  readonly uptime_ms: number;
}
export interface ForwardRow {
  readonly bind: string;
  readonly host: number;
  readonly guest: number;
  readonly proto: "tcp" | "udp";
  readonly state: "listening" | "waiting" | "failed";
  readonly message?: string;
  /** From rum.toml, added while running, or found by [auto_ports]. */
  readonly origin?: "config" | "added" | "auto";
  /** Connections (UDP: flows) now, and since it was opened. */
  readonly active?: number;
  readonly total?: number;
}
export interface StatusResult {
  readonly phase: string;
  readonly hypervisor?: Json;
  readonly agent?: Json;
  readonly forwards: readonly ForwardRow[];
  readonly services: readonly Json[];
  readonly service_count: number;
  readonly running_instances: number;
  readonly degraded: readonly string[];
  readonly [key: string]: unknown;
}
export interface UpParams {
  readonly detach: boolean;
  readonly attach?: boolean;
  readonly reset?: "disk" | "all";
}
export interface ExecParams {
  readonly argv: readonly string[];
  readonly user?: string;
  readonly cwd?: string;
  /** The client's folder on the host: the guest's side of it is where the program starts. */
  readonly host_cwd?: string;
  /** A login shell; argv may be empty then. */
  readonly login?: boolean;
  /** Names this exec for `exec.signal`. */
  readonly key?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly tty?: { readonly columns: number; readonly rows: number; readonly term: string };
  readonly stdin: boolean;
  readonly timeout_ms?: number;
}
export interface ExecResult {
  readonly code: number;
  readonly signal?: string;
}
/**
 * One call to the agent's file methods, its records passed through untouched: what the client reads
 * and writes is checked at the two ends, the daemon is the way between them.
 */
export const CP_METHODS = [
  "file.stat",
  "file.read",
  "file.write",
  "tree.read",
  "tree.write",
] as const;
export interface CpParams {
  readonly method: typeof CP_METHODS[number];
  readonly params?: unknown;
  /** The parameters follow as the first record. */
  readonly more?: boolean;
}
export interface ServiceRef {
  /** A service's name, or `all`. */
  readonly name: string;
}

/** Method → what it takes, what it streams before its end, what it answers. */
export interface DaemonMethods {
  ping: { params: None; event: never; result: PingResult };
  status: { params: None; event: never; result: StatusResult };
  up: { params: UpParams; event: MachineEvent; result: Json };
  detach: { params: None; event: never; result: Json };
  interrupt: { params: None; event: MachineEvent; result: Json };
  release: { params: None; event: never; result: Json };
  down: { params: { force: boolean; timeout_ms?: number }; event: MachineEvent; result: Json };
  destroy: { params: None; event: MachineEvent; result: Json };
  restart: { params: { timeout_ms?: number }; event: MachineEvent; result: Json };
  pause: { params: None; event: MachineEvent; result: Json };
  resume: { params: None; event: MachineEvent; result: Json };
  exec: { params: ExecParams; event: BytesEvent; result: ExecResult };
  "exec.signal": { params: { key: string; signal: string }; event: never; result: Json };
  cp: { params: CpParams; event: BytesEvent; result: Json };
  proxy: { params: { port: number }; event: BytesEvent; result: Json };
  provision: { params: { system: boolean; boot: boolean }; event: MachineEvent; result: Json };
  log: {
    params: { source?: string; follow: boolean; lines?: number; since?: string; failed?: boolean };
    event: Json | DroppedEvent;
    result: Json;
  };
  events: {
    params: { follow: boolean; since?: number };
    event: MachineEvent | DroppedEvent;
    result: Json;
  };
  wait: { params: { for: string; timeout_ms: number }; event: Json; result: Json };
  "port.list": { params: None; event: never; result: { forwards: readonly ForwardRow[] } };
  "port.add": {
    params: Pick<ForwardRow, "bind" | "host" | "guest" | "proto">;
    event: never;
    result: ForwardRow;
  };
  "port.remove": {
    params: { host: number; bind?: string };
    event: never;
    result: { removed: readonly ForwardRow[] };
  };
  "service.list": { params: None; event: never; result: { services: readonly Json[] } };
  "service.get": { params: ServiceRef; event: never; result: Json };
  "service.start": { params: ServiceRef; event: never; result: Json };
  "service.stop": { params: ServiceRef; event: never; result: Json };
  "service.restart": { params: ServiceRef; event: never; result: Json };
  "service.reload": { params: ServiceRef; event: never; result: Json };
  "service.logs": {
    params: ServiceRef & { follow: boolean; lines?: number };
    event: Json | DroppedEvent;
    result: Json;
  };
  qmp: {
    params: { command: string; arguments?: Json; unsafe: boolean };
    event: never;
    result: Json;
  };
  keys: { params: { keys: readonly string[] }; event: never; result: Json };
  type: { params: { text: string }; event: never; result: Json };
  screenshot: { params: { every_ms?: number }; event: BytesEvent; result: Json };
  console: { params: None; event: BytesEvent; result: Json };
  stats: { params: { watch_ms?: number; history: boolean }; event: Json; result: Json };
}

export type MethodName = keyof DaemonMethods;
