/** `[services.NAME]`: the part of the schema for supervised guest processes (SPEC section 8). */
import * as v from "valibot";
import {
  argv,
  duration,
  either,
  guestPath,
  hostPath,
  key,
  maybe,
  must,
  port,
  serviceName,
  size,
  text,
  userName,
  whole,
} from "./schema_parts.ts";

const restartPolicy = v.picklist(["no", "on-failure", "always"]);

export const restartTable = v.strictObject({
  policy: key(restartPolicy, "on-failure", "When a process that ended is started again."),
  max: key(whole(1, 1000), 5, "Restarts allowed within `within`; one more is `fatal`."),
  within: key(duration(), "60s", "The span that `max` counts in."),
  min_uptime: key(duration(), "30s", "Running this long counts as a success and resets back-off."),
  backoff: key(
    v.picklist(["fixed", "linear", "exponential"]),
    "exponential",
    "How the delay between restarts grows.",
  ),
  first: key(duration(), "1s", "Delay before the first restart."),
  max_delay: key(duration(), "5m", "The longest delay."),
});

const health = v.strictObject({
  http: maybe(
    text(/^https?:\/\/[^\s\x00-\x1f]+$/, "an http:// or https:// URL as seen in the guest"),
    "Healthy while a GET of this URL in the guest answers 2xx or 3xx.",
  ),
  tcp: maybe(port, "Healthy while this guest port accepts a connection."),
  exec: maybe(argv, "Healthy while this command in the guest exits 0."),
  interval: key(duration(100), "10s", "Time between checks."),
  timeout: key(duration(), "5s", "A check that takes longer has failed."),
  unhealthy: key(whole(1, 1000), 3, "Failures in a row that make the service unhealthy."),
  healthy: key(whole(1, 1000), 1, "Successes in a row that make it healthy again."),
});

const SIGNALS = ["TERM", "INT", "QUIT", "HUP", "USR1", "USR2", "KILL"] as const;

const service = v.strictObject({
  command: must(argv, "The program and its arguments."),
  cwd: maybe(guestPath, "Working directory in the guest."),
  env: key(
    v.record(
      text(/^[A-Za-z_][A-Za-z0-9_]*$/, "a variable name: letters, digits and _"),
      text(/^[^\x00]*$/, "a string without NUL"),
    ),
    {},
    "Environment variables.",
  ),
  env_file: maybe(hostPath, "A file on the host with NAME=value lines; for secrets."),
  user: key(userName, "root", "The guest user it runs as."),
  instances: key(whole(1, 100), 1, "How many run at once."),
  after: key(v.array(serviceName), [], "Services that must run before this one starts."),
  restart: key(
    either(restartPolicy, restartTable),
    {},
    "A policy, or a table with policy, limits and back-off.",
  ),
  health: maybe(health, "A health check: one of http, tcp, exec. None when absent."),
  shutdown: key(
    v.strictObject({
      signal: key(v.picklist(SIGNALS), "TERM", "The signal that asks it to end."),
      timeout: key(duration(), "10s", "How long it has before KILL."),
    }),
    {},
    "How it is stopped.",
  ),
  log: key(
    v.strictObject({
      max_size: key(size(4096), "10M", "Size at which a log file is rotated."),
      keep: key(whole(1, 100), 10, "Rotated files kept."),
    }),
    {},
    "Its log files.",
  ),
});

export const services = v.record(serviceName, service);
