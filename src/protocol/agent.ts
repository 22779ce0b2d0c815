/**
 * What host and guest agent say to each other: every method's parameters and answer as a shape, so
 * that both ends read the same page and neither trusts the other's JSON. How calls travel is in
 * `calls.ts`. Grown by adding optional fields; a changed meaning takes a new protocol number.
 */
import {
  anything,
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
  text,
} from "./shape.ts";

export const AGENT_PROTOCOL = { min: 1, max: 1 } as const;

/** A run of the agent is one process; a host tells a restart by its changed `instance`. */
const hex = text(128);

export const helloParams = object({
  nonce: hex,
  protocol: object({ min: integer(0, 65535), max: integer(0, 65535) }),
  version: text(64),
});
/** First answer: the agent's half of the proof; which token it proved with. */
export const helloChallenge = object({
  nonce: hex,
  proof: hex,
  protocol: integer(0, 65535),
  token: oneOf("seed", "rotated"),
});
/** The host's half; `rotate` is the next token, hidden under a pad made from the present one. */
export const helloProof = object({ proof: hex, rotate: optional(hex) });

const address = object({ interface: text(64), family: oneOf("IPv4", "IPv6"), address: text(64) });
export type GuestAddress = Infer<typeof address>;

export const helloInfo = object({
  version: text(64),
  digest: text(128),
  instance: text(64),
  bootId: text(64),
  protocol: integer(0, 65535),
  capabilities: list(text(64), 128),
  hostname: text(256),
  addresses: list(address, 256),
  os: object({ id: text(64), versionId: text(64), prettyName: text(256) }),
  kernel: text(256),
  uptimeMs: real(),
  nowMs: real(),
  /** The sentinel: every System script of the first boot passed. */
  firstBootDone: flag(),
  /** Script → hash, of the System scripts that passed. */
  doneScripts: record(text(64), 256),
});
export type HelloInfo = Infer<typeof helloInfo>;

// --- exec -------------------------------------------------------------------------------------

export const execParams = object({
  /** Empty only with `login`. */
  argv: list(cText(128 * 1024), 8192),
  login: optional(flag()),
  user: optional(cText(64)),
  cwd: optional(cText(4096)),
  env: optional(record(cText(128 * 1024), 4096)),
  stdin: optional(flag()),
  pty: optional(object({
    cols: integer(1, 10_000),
    rows: integer(1, 10_000),
    term: optional(cText(64)),
  })),
});
export type ExecParams = Infer<typeof execParams>;
export const execStarted = object({ exec: integer(1), pid: integer(1) });
export const execResult = object({ code: integer(0, 255), signal: optional(text(32)) });
export type ExecResult = Infer<typeof execResult>;
export const signalParams = object({ exec: integer(1), signal: text(16) });
export const resizeParams = object({
  exec: integer(1),
  cols: integer(1, 10_000),
  rows: integer(1, 10_000),
});

// --- apply ------------------------------------------------------------------------------------

export const applyParams = object({
  hostname: optional(cText(253)),
  user: optional(object({
    name: cText(32),
    groups: list(cText(32), 64),
    shell: cText(256),
    authorizedKeys: list(cText(16 * 1024), 256),
  })),
  mounts: optional(list(
    object({
      tag: cText(64),
      target: cText(4096),
      type: oneOf("virtiofs", "9p", "sync"),
      readonly: flag(),
      default: optional(flag()),
    }),
    64,
  )),
  fileSystems: optional(list(
    object({
      type: oneOf("ext4", "xfs", "btrfs", "zfs"),
      serials: list(cText(20), 32),
      target: cText(4096),
      mode: optional(cText(8)),
      pool: optional(cText(64)),
    }),
    64,
  )),
});
export type ApplyParams = Infer<typeof applyParams>;
export const applyOutcome = object({
  item: text(4200),
  outcome: oneOf("unchanged", "changed", "failed"),
  message: optional(text(8192)),
});
export type ApplyOutcome = Infer<typeof applyOutcome>;
export const applyResult = object({ outcomes: list(applyOutcome, 512) });

// --- provision --------------------------------------------------------------------------------

const runOn = oneOf("system", "boot");

export const scriptShape = object({
  name: cText(128),
  content: text(900 * 1024),
  order: integer(),
  runOn,
  timeoutMs: integer(1),
  /** SHA-256 of the content, checked by the agent. */
  hash: text(64),
});
export type GuestScript = Infer<typeof scriptShape>;

export const provisionParams = object({
  scripts: list(scriptShape, 64),
  /**
   * `due`: what this boot still owes; a Boot script that failed in it is reported, not run again.
   * `retry`: that one too. The others run again, whatever the marks say.
   */
  run: oneOf("due", "retry", "system", "boot", "all"),
  /** What the first script may rely on; each is waited for within a bound. */
  waits: optional(object({ network: optional(flag()), user: optional(cText(64)) })),
  /** The last output that this host has; what came after it is sent again. */
  have: optional(object({ bootId: text(64), seq: integer() })),
});
export type ProvisionParams = Infer<typeof provisionParams>;

const line = object({ at: real(), stream: oneOf("out", "err"), text: text(64 * 1024) });
export type ScriptLine = Infer<typeof line>;

/** `seq` counts from 1 in each guest boot, without gaps but for those that `dropped` names. */
export const provisionEvent = object({
  seq: integer(),
  kind: oneOf("waiting", "note", "started", "lines", "ended", "dropped"),
  at: real(),
  script: optional(text(128)),
  runOn: optional(runOn),
  lines: optional(list(line, 8192)),
  message: optional(text(8192)),
  code: optional(integer(0, 255)),
  ms: optional(real()),
  count: optional(integer()),
});
export type ProvisionEvent = Infer<typeof provisionEvent>;

export const provisionResult = object({
  bootId: text(64),
  ok: flag(),
  failed: optional(object({
    name: text(128),
    /** Absent when it did not end by itself. */
    code: optional(integer(0, 255)),
    reason: text(1024),
    tail: list(text(64 * 1024), 100),
  })),
  ran: list(object({ name: text(128), runOn, code: integer(0, 255), ms: real() }), 64),
  skipped: list(text(128), 64),
});
export type ProvisionResult = Infer<typeof provisionResult>;

// --- files ------------------------------------------------------------------------------------

export const fileMeta = object({
  type: oneOf("file", "folder", "link", "other"),
  size: integer(),
  mode: integer(0, 0o7777),
  mtimeMs: real(),
  uid: integer(),
  gid: integer(),
  target: optional(text(4096)),
});
export type FileMeta = Infer<typeof fileMeta>;
/** In a tree, `path` is relative to its top, parts joined by `/`; "" is the top itself. */
export const treeEntry = object({ path: cText(4096), meta: fileMeta });
export type TreeEntry = Infer<typeof treeEntry>;

export const pathParams = object({ path: cText(4096), followLinks: optional(flag()) });
export const writeParams = object({
  path: cText(4096),
  mode: optional(integer(0, 0o7777)),
  mtimeMs: optional(real()),
  uid: optional(integer()),
  gid: optional(integer()),
  /** Owner by name. Without any, what is new is root's and a file that is there keeps its own. */
  user: optional(cText(64)),
  /** The owner is of what is new: a file that is there keeps its own all the same. */
  ownerOfNew: optional(flag()),
});
export type WriteParams = Infer<typeof writeParams>;
/** At the end of each file's bytes. */
export const fileDigest = object({ sha256: text(64), bytes: integer() });
export type FileDigest = Infer<typeof fileDigest>;
export const treeResult = object({ entries: integer(), bytes: integer() });
export type TreeResult = Infer<typeof treeResult>;

// --- the rest ---------------------------------------------------------------------------------

export const dialParams = object({ port: integer(1, 65535), host: optional(cText(253)) });
export const listenersResult = object({
  listeners: list(
    object({
      port: integer(1, 65535),
      address: text(64),
      family: oneOf("IPv4", "IPv6"),
      uid: integer(),
    }),
    4096,
  ),
});
export type Listener = Infer<typeof listenersResult>["listeners"][number];

export const timeParams = object({ nowMs: real() });
export const timeResult = object({ offsetMs: real(), set: flag() });
export type TimeResult = Infer<typeof timeResult>;

export const shutdownParams = object({ kind: oneOf("poweroff", "reboot") });

const programFile = object({
  name: oneOf("rum-agent", "rum-agent.js", "rum-agent-runtime"),
  sha256: text(64),
  bytes: integer(1),
});
/** A program is one file, or a stub with its script and runtime; the digest names the whole. */
export const upgradeParams = object({ digest: text(128), files: list(programFile, 3) });
export type UpgradeParams = Infer<typeof upgradeParams>;
/** Those that the guest does not have yet; sent next, in this order, each with its end. */
export const upgradeNeeds = object({ need: list(programFile, 3) });
export const upgradeResult = object({ restarting: flag() });

export const logsParams = object({ bytes: optional(integer(1, 1024 * 1024)) });
export const logsResult = object({ text: text(1024 * 1024) });

export const statsResult = object({
  uptimeMs: real(),
  load: list(real(), 3),
  memory: object({ totalBytes: integer(), availableBytes: integer() }),
  processes: integer(),
  agentRssBytes: integer(),
  /** Those of now: the hello is said before the guest has its network. */
  addresses: optional(list(address, 256)),
});
export type GuestStats = Infer<typeof statsResult>;

export const empty = object({});

/** The final answer when a method refuses or fails. */
export const callError = object({
  code: text(64),
  message: text(16 * 1024),
  hint: optional(text(4096)),
  data: optional(anything()),
});
