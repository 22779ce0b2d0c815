/**
 * Supervised guest processes, as host and agent tell each other: what is wanted (the spec, from
 * rum.toml, with the content of `env_file` merged into `env`) and what is (one view per instance).
 * SPEC section 8.
 */
import {
  cText,
  flag,
  type Infer,
  integer,
  list,
  object,
  oneOf,
  optional,
  real,
  record,
  type Shape,
  ShapeError,
  text,
} from "./shape.ts";

const NAME = /^[a-z0-9][a-z0-9_-]{0,47}$/;

/** A service's name is part of file names in the guest. */
const name: Shape<string> = (value, path) => {
  const read = text(48)(value, path);
  if (!NAME.test(read)) throw new ShapeError(`${path} is no service name`);
  return read;
};

const ms = () => integer(0, 2 ** 31 - 1);
const argv = (value: unknown, path: string) => {
  const read = list(cText(65_536), 4096)(value, path);
  if (read.length === 0 || read[0] === "") throw new ShapeError(`${path} names no program`);
  return read;
};

const timing = {
  intervalMs: integer(100, 2 ** 31 - 1),
  timeoutMs: ms(),
  unhealthy: integer(1, 1000),
  healthy: integer(1, 1000),
};

export type HealthSpec =
  | { readonly kind: "none" }
  | (HealthPace & { readonly kind: "http"; readonly url: string })
  | (HealthPace & { readonly kind: "tcp"; readonly port: number })
  | (HealthPace & { readonly kind: "exec"; readonly command: readonly string[] });

export interface HealthPace {
  readonly intervalMs: number;
  readonly timeoutMs: number;
  /** Failures in a row that make it unhealthy. */
  readonly unhealthy: number;
  /** Successes in a row that make it healthy. */
  readonly healthy: number;
}

const healthKind = object({ kind: oneOf("none", "http", "tcp", "exec") });
const health: Shape<HealthSpec> = (value, path) => {
  const { kind } = healthKind(value, path);
  switch (kind) {
    case "none":
      return { kind };
    case "http":
      return { kind, ...object({ ...timing, url: text() })(value, path) };
    case "tcp":
      return { kind, ...object({ ...timing, port: integer(1, 65535) })(value, path) };
    case "exec":
      return { kind, ...object({ ...timing, command: argv })(value, path) };
  }
};

export const serviceSpec = object({
  name,
  command: argv,
  cwd: optional(cText()),
  env: record(cText(1024 * 1024)),
  user: cText(64),
  instances: integer(1, 100),
  after: list(name, 256),
  restart: object({
    policy: oneOf("no", "on-failure", "always"),
    max: integer(1, 1000),
    withinMs: ms(),
    minUptimeMs: ms(),
    backoff: oneOf("fixed", "linear", "exponential"),
    firstMs: ms(),
    maxMs: ms(),
  }),
  health,
  shutdown: object({
    signal: oneOf("TERM", "INT", "QUIT", "HUP", "USR1", "USR2", "KILL"),
    timeoutMs: ms(),
  }),
  log: object({ maxBytes: integer(4096), keep: integer(1, 100) }),
});
export type ServiceSpec = Infer<typeof serviceSpec>;

/** The whole set: names are unique. */
export const serviceSpecs: Shape<ServiceSpec[]> = (value, path) => {
  const specs = list(serviceSpec, 256)(value, path);
  const seen = new Set<string>();
  for (const spec of specs) {
    if (seen.has(spec.name)) throw new ShapeError(`${path} has "${spec.name}" twice`);
    seen.add(spec.name);
  }
  return specs;
};

export const INSTANCE_STATES = [
  "starting",
  "running",
  "unhealthy",
  "backoff",
  "stopping",
  "stopped",
  "crashed",
  "fatal",
] as const;
export type InstanceStateName = (typeof INSTANCE_STATES)[number];

/** One instance as `service ls` and `status` show it. */
export const instanceView = object({
  service: name,
  index: integer(0, 99),
  generation: integer(),
  state: oneOf(...INSTANCE_STATES),
  /** Exactly while starting, running or unhealthy. */
  pid: optional(integer(1)),
  /** Guest time at which the present process began. */
  startedAt: optional(text(64)),
  uptimeMs: optional(real()),
  /** Automatic restarts that count towards the limit now. */
  restarts: integer(),
  /** Until the next start, in `backoff`. */
  retryInMs: optional(real()),
  /** Has no process yet and is about to: it waits for its turn, or is being spawned. */
  due: optional(flag()),
  /** How the last process ended, or why nothing runs: one line. */
  text: optional(text()),
  /** Found running after the agent itself restarted. */
  adopted: optional(flag()),
});
export type InstanceView = Infer<typeof instanceView>;
