/**
 * What is written down about a machine (`state.json`), its versions, and how doubt is read. Pure:
 * text in, a record or the reason why not out; `src/store/state_file.ts` does the reading, setting
 * aside and writing.
 *
 * Rules: a newer version is refused and left alone; an older one is migrated step by step; anything
 * else that does not fit is corrupt as a whole, because half a record is a guess. A record that has
 * to be rebuilt knows the project (`config_path`) and nothing else, and counts its first boot as
 * done: whoever lost the record may still have worked in the machine.
 */
import { ERRORS } from "../base/errors.ts";
import type { HypervisorChoice, RecordedPlan } from "../plan/types.ts";
import { machineUuid } from "../plan/identity.ts";
import {
  anything,
  flag,
  type Infer,
  integer,
  list,
  object,
  oneOf,
  optional,
  record,
  type Shape,
  ShapeError,
  text,
} from "../protocol/shape.ts";
import type { EndedWhy, FirstBoot } from "./state.ts";

export const RECORD_VERSION = 1;

/** As `FirstBoot`, and which scripts passed, by the hash they had then. */
export type RecordedFirstBoot =
  | Exclude<FirstBoot, { kind: "done" }>
  | { readonly kind: "done"; readonly scripts: Readonly<Record<string, string>> };

const path = text(4096);
const word = text(256);

const cause = object({
  code: oneOf(...Object.keys(ERRORS) as (keyof typeof ERRORS)[]),
  message: text(16 * 1024),
  hint: optional(text(4096)),
});

const phase = object({
  kind: oneOf(
    "absent",
    "stopped",
    "preparing",
    "starting",
    "provisioning",
    "running",
    "paused",
    "failed",
    "stopping",
    "destroying",
    "stuck",
    "over",
  ),
  /** For people: `starting (greeting)`. */
  text: text(512),
  since: word,
  cause: optional(cause),
});
export type RecordedPhase = Infer<typeof phase>;

const endedWhy: Shape<EndedWhy> = oneOf(
  "script_failed",
  "timeout",
  "failed",
  "daemon_restarted",
  "recovered",
  "stopped",
);

/** Unknown counts as done: an interrupt must never wipe on the word of a record nobody understands. */
const firstBoot: Shape<RecordedFirstBoot> = (value, at) => {
  try {
    const { kind } = object({ kind: oneOf("not_begun", "under_way", "ended", "done") })(value, at);
    switch (kind) {
      case "not_begun":
        return { kind };
      case "under_way":
        return { kind, operation: object({ operation: word })(value, at).operation };
      case "ended":
        return { kind, why: object({ why: endedWhy })(value, at).why };
      case "done":
        return { kind, scripts: object({ scripts: record(word, 256) })(value, at).scripts };
    }
  } catch (error) {
    if (error instanceof ShapeError) return { kind: "done", scripts: {} };
    throw error;
  }
};

const hypervisor: Shape<HypervisorChoice> = object({
  uri: path,
  kind: oneOf("embed", "session", "system", "remote", "test", "fake"),
  reason: text(1024),
});

/** The plan is read by those who compare plans; here only what the list of machines needs. */
const plan: Shape<RecordedPlan> = (value, at) => {
  object({
    v: integer(1, 1),
    id: word,
    name: word,
    cpus: integer(1),
    memoryBytes: integer(1),
    ports: list(anything()),
    scripts: list(anything()),
    drives: list(anything()),
  })(value, at);
  return value as RecordedPlan;
};

const shape = object({
  v: integer(RECORD_VERSION, RECORD_VERSION),
  id: text(8),
  name: word,
  uuid: text(36),
  hypervisor_name: word,
  config_path: path,
  rum_version: word,
  created_at: word,
  /** Chosen at creation, kept for life. */
  hypervisor: optional(hypervisor),
  /** With hardware virtualisation or emulated. */
  accelerator: optional(oneOf("kvm", "qemu")),
  image: optional(object({
    digest: word,
    format: oneOf("qcow2", "raw"),
    path,
    source: path,
  })),
  first_boot: firstBoot,
  phase,
  /** What is under way; null between operations. */
  operation: optional(object({ id: word, kind: word, since: word })),
  /** What the user last asked for; a daemon that finds it different says so. */
  desired: oneOf("running", "stopped", "destroyed"),
  plan: optional(plan),
  seed_hash: optional(word),
  /** Every network that may be there, and what it was made from; absent in records of before. */
  networks: optional(list(object({ name: word, uuid: text(36), from: optional(word) }))),
  /** The extra disks that the guest has been told of. */
  drives: list(object({ name: word, serial: word, size_bytes: integer() })),
  qemu: optional(object({ pid: integer(1), start_time: integer() })),
  agent: optional(object({ version: word, digest: optional(word), boot_id: optional(word) })),
  /** Rebuilt, or bound to another project folder by `rum adopt`. */
  adopted: flag(),
  /** The boot of the host in which this was written: after another one nothing of it runs. */
  host_boot_id: optional(word),
});

export type MachineRecord = Infer<typeof shape>;
/** What changes during a life; the rest is who the machine is. */
export type RecordPatch = Partial<
  Omit<MachineRecord, "v" | "id" | "uuid" | "created_at">
>;

export type ParsedRecord =
  | { readonly kind: "ok"; readonly record: MachineRecord }
  | { readonly kind: "newer"; readonly version: number; readonly rumVersion?: string }
  | { readonly kind: "corrupt"; readonly why: string };

type Migration = (old: Record<string, unknown>) => Record<string, unknown>;

/** `MIGRATIONS[n]` turns version n into n + 1. Version 1 is the first, so there are none yet. */
const MIGRATIONS: Readonly<Record<number, Migration>> = {};

export function parseRecord(source: string, migrations = MIGRATIONS): ParsedRecord {
  let value: unknown;
  try {
    value = JSON.parse(source);
  } catch (error) {
    return { kind: "corrupt", why: `it is not JSON (${(error as Error).message})` };
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    return { kind: "corrupt", why: "it is not a JSON object" };
  }
  let fields = value as Record<string, unknown>;
  const version = fields.v;
  if (typeof version !== "number" || !Number.isSafeInteger(version) || version < 0) {
    return { kind: "corrupt", why: "it has no version" };
  }
  if (version > RECORD_VERSION) {
    const by = fields.rum_version;
    return { kind: "newer", version, ...(typeof by === "string" ? { rumVersion: by } : {}) };
  }
  for (let at = version; at < RECORD_VERSION; at++) {
    const migrate = migrations[at];
    if (migrate === undefined) return { kind: "corrupt", why: `no rum ever wrote version ${at}` };
    fields = { ...migrate(fields), v: at + 1 };
  }
  try {
    const parsed = shape(fields, "");
    if (!/^[0-9a-f]{8}$/.test(parsed.id)) return { kind: "corrupt", why: "its id is not 8 hex" };
    return { kind: "ok", record: parsed };
  } catch (error) {
    if (error instanceof ShapeError) return { kind: "corrupt", why: error.message };
    throw error;
  }
}

export function formatRecord(value: MachineRecord): string {
  return JSON.stringify(value, null, 2) + "\n";
}

export interface NewRecordInput {
  readonly id: string;
  readonly uuid: string;
  readonly name: string;
  readonly hypervisorName: string;
  readonly configPath: string;
  readonly rumVersion: string;
  /** ISO 8601. */
  readonly now: string;
}

/** A machine of which nothing has been made. */
export function newRecord(input: NewRecordInput): MachineRecord {
  return {
    v: RECORD_VERSION,
    id: input.id,
    name: input.name,
    uuid: input.uuid,
    hypervisor_name: input.hypervisorName,
    config_path: input.configPath,
    rum_version: input.rumVersion,
    created_at: input.now,
    first_boot: { kind: "not_begun" },
    phase: { kind: "absent", text: "absent", since: input.now },
    desired: "stopped",
    drives: [],
    adopted: false,
  };
}

export interface Remains {
  readonly id: string;
  /** The content of `config_path`. */
  readonly configPath: string;
  readonly overlay: boolean;
  readonly rumVersion: string;
  readonly now: string;
}

/**
 * What can be said of a machine whose record is lost. The name comes from the folder of the project
 * and is corrected by the next `up`, which plans anew; libvirt knows the domain by the fixed UUID.
 */
export function rebuildRecord(remains: Remains): MachineRecord {
  const folder = remains.configPath.split("/").at(-2) ?? "";
  const name = folder.toLowerCase().replace(/[^a-z0-9-]+/g, "-").replace(/^-+|-+$/g, "")
    .slice(0, 63) || "machine";
  return {
    ...newRecord({
      id: remains.id,
      uuid: machineUuid(remains.configPath, remains.id),
      name,
      hypervisorName: `rum-${name}-${remains.id}`,
      configPath: remains.configPath,
      rumVersion: remains.rumVersion,
      now: remains.now,
    }),
    first_boot: remains.overlay ? { kind: "done", scripts: {} } : { kind: "not_begun" },
    phase: remains.overlay
      ? { kind: "stopped", text: "stopped (as_found)", since: remains.now }
      : { kind: "absent", text: "absent", since: remains.now },
    adopted: true,
  };
}
