/**
 * Every JSON document and NDJSON line that rum prints, as one table: type → its fields. `Output`
 * takes only types that stand here, `docs/output.schema.json` is generated from here, and the tests
 * hold every document that they read against it.
 *
 * A field without `?` is always there. Further fields may be added and are no break: a program
 * ignores what it does not know. What an object holds that comes from elsewhere (a monitor's answer,
 * a plan) is left open.
 */

/** A JSON Schema of the few words that this table needs. */
export type OutputSchema = Readonly<Record<string, unknown>>;

const text = { type: "string" };
const count = { type: "integer", minimum: 0 };
const whole = { type: "integer" };
const yes = { type: "boolean" };
const open = { type: "object" };
const anything = {};
const texts = list(text);
const time = { type: "string", description: "ISO 8601, UTC" };

function list(items: OutputSchema): OutputSchema {
  return { type: "array", items };
}

function words(...values: readonly string[]): OutputSchema {
  return { enum: values };
}

/** `name?` for a field that may be missing. */
function object(fields: Readonly<Record<string, OutputSchema>>): OutputSchema {
  const entries = Object.entries(fields);
  const required = entries.map(([name]) => name).filter((name) => !name.endsWith("?"));
  return {
    type: "object",
    properties: Object.fromEntries(entries.map(([name, s]) => [name.replace(/\?$/, ""), s])),
    ...(required.length === 0 ? {} : { required }),
  };
}

const forward = object({
  bind: text,
  host: count,
  guest: count,
  proto: words("tcp", "udp"),
  state: words("listening", "waiting", "failed"),
  "message?": text,
  "origin?": words("config", "added", "auto"),
  "active?": count,
  "total?": count,
});

/** `waiting`: it did not come yet. `lost`: it was there, and does not answer any more. */
const agent = object({
  state: words("off", "waiting", "up", "lost"),
  "transport?": text,
  "version?": text,
  "hostname?": text,
  "os?": text,
  "kernel?": text,
  "addresses?": list(object({ interface: text, family: words("IPv4", "IPv6"), address: text })),
});

const done = { id: text, did: text };

const image = {
  names: texts,
  digest: text,
  format: words("qcow2", "raw"),
  path: text,
  size: count,
  "virtual_size?": count,
  sources: list(object({ source: text })),
  used_by: texts,
};

const gotImage = {
  name: text,
  digest: text,
  format: words("qcow2", "raw"),
  path: text,
  size: count,
  virtual_size: count,
  verified_by: words("config", "distributor", "rum.lock", "first_use", "local", "built"),
  cached: yes,
};

const serviceAnswer = { message: text };

const FIELDS = {
  adopt: { id: text, name: text, config_path: text, "was?": text },
  completions: { "shell?": text, "script?": text, "words?": texts },
  config: { path: text, config: open },
  config_check: { path: text, name: text, host_keys: list(open), trusted: yes },
  config_schema: { schema: open },
  cp: { bytes: count, files: count, "digest?": text, target: text, left_out: texts },
  daemon_restart: {
    id: text,
    did: words("restarted", "released"),
    "pid?": count,
    "version?": text,
  },
  daemon_status: {
    id: text,
    state: words("running", "starting", "busy", "hung", "stale", "absent"),
    "pid?": count,
    "version?": text,
    "uptime_ms?": count,
    "started_at?": text,
    "operation?": text,
    "since?": text,
    socket: text,
    log: text,
  },
  daemon_stop: { id: text, did: words("released", "nothing") },
  daemon_unit: { id: text, unit: text, text },
  destroy: done,
  detail: { message: text },
  doctor: {
    ok: yes,
    checks: list(object({
      id: text,
      what: text,
      need: words("needed", "useful"),
      ok: yes,
      found: text,
      "remedy?": text,
    })),
    fixed: texts,
  },
  down: { ...done, exit: count },
  dropped: { count },
  error: {
    code: text,
    exit: count,
    message: text,
    "hint?": text,
    "data?": open,
    "causes?": texts,
    "origin?": words("guest", "rum"),
  },
  event: { kind: text, "seq?": count, "at?": time },
  exec: {
    origin: words("guest", "rum"),
    code: count,
    "signal?": text,
    stdout: text,
    stderr: text,
    "encoding?": words("base64"),
  },
  image: gotImage,
  image_list: { images: list(object(image)) },
  image_pruned: { removed: list(object(image)), kept: list(object(image)), freed: count },
  image_removed: image,
  image_search: { arch: text, entries: list(open) },
  image_verified: { ...image, ok: yes },
  help: { verb: texts, text },
  init: { path: text, name: text, image: text },
  keys: {},
  list: {
    machines: list(object({
      id: text,
      name: text,
      phase: text,
      as_recorded: yes,
      "cpus?": count,
      "memory?": count,
      ports: list(open),
      "config_path?": text,
      config_exists: yes,
      daemon: { anyOf: [object({ pid: count }), { type: "null" }] },
      "qemu_alive?": yes,
      "lost_with_host?": yes,
      "problem?": open,
    })),
  },
  log: { source: text, "index?": count, "at?": time, "stream?": text, text },
  logs: {
    logs: list(
      object({ name: text, kind: text, "path?": text, "bytes?": count, "changed_at?": time }),
    ),
  },
  note: { message: text },
  pause: { ...done, exit: count },
  plan: { plan: open, exists: yes, changes: anything },
  port_add: { forward },
  port_list: { forwards: list(forward) },
  port_rm: { removed: list(forward) },
  provision: { ...done, exit: count },
  qmp: { command: text, answer: anything },
  restart: { ...done, exit: count },
  resume: { ...done, exit: count },
  screenshot: {},
  seed: { id: text, path: text, files: list(open) },
  service: {},
  service_list: { services: list(open) },
  service_log: { service: text, index: count, text },
  service_reload: serviceAnswer,
  service_restart: serviceAnswer,
  service_start: serviceAnswer,
  service_stop: serviceAnswer,
  skill: { "text?": text, "path?": text },
  ssh_config: {
    "host?": text,
    "config?": text,
    "installed?": yes,
    "removed?": yes,
    "file?": text,
    "changed?": yes,
  },
  stats: { at: time, monotonic_ms: { type: "number" }, cpu: open, memory: open, disks: list(open) },
  stats_history: { samples: list(open), every_ms: count },
  status: {
    id: text,
    phase: text,
    as_recorded: yes,
    "name?": text,
    "ready?": yes,
    "config_path?": text,
    "hypervisor?": open,
    "agent?": agent,
    forwards: list(open),
    "mounts?": list(open),
    services: list(open),
    service_count: count,
    running_instances: count,
    degraded: texts,
    daemon: object({ state: text, "pid?": count, "version?": text }),
    "since?": text,
    "drift?": anything,
  },
  trust: { path: text, trusted: yes, keys: list(open), fresh: texts },
  trust_revoked: { path: text, revoked: yes },
  type: {},
  up: { id: text, did: text, exit: whole },
  version: { version: text },
  wait: { id: text, for: text, met: yes, waited_ms: count },
} satisfies Readonly<Record<string, Readonly<Record<string, OutputSchema>>>>;

export type DocumentType = keyof typeof FIELDS;

export const DOCUMENT_TYPES = Object.keys(FIELDS) as readonly DocumentType[];

/** One document or line of this type, `v` and `type` with it. */
export function documentSchema(type: DocumentType): OutputSchema {
  return object({ v: { const: 1 }, type: { const: type }, ...FIELDS[type] });
}

/** docs/output.schema.json */
export function outputSchema(): OutputSchema {
  return {
    $schema: "http://json-schema.org/draft-07/schema#",
    title: "What rum prints with -o json",
    description: "One document per command on stdout, or one a line; errors and notes on stderr.",
    anyOf: DOCUMENT_TYPES.map((type) => ({ $ref: `#/definitions/${type}` })),
    definitions: Object.fromEntries(DOCUMENT_TYPES.map((type) => [type, documentSchema(type)])),
  };
}
