/**
 * What the user has approved: for each rum.toml, by canonical path, the hash over its host-affecting
 * keys (config/trust.ts). Kept in the user's data folder, never in the project, where a guest could
 * write it. Everything uncertain counts as not approved: an unreadable file, another path, one
 * changed word.
 *
 * The keys themselves are remembered as hashes too, so that the next question can say which of them
 * are new.
 */
import { RumError } from "../base/errors.ts";
import { sha256Hex } from "../base/sha256.ts";
import { printableLine } from "../base/printable.ts";
import { fileText, programFile } from "../config/command_files.ts";
import { diskReader } from "../config/read.ts";
import { fingerprintOf, type HostKey, hostKeysOf, trustHash } from "../config/trust.ts";
import type { Config, FileDigest } from "../config/types.ts";
import type { RumPaths } from "../plan/paths.ts";
import { writeFileAtomic } from "./atomic.ts";
import { describeHolder, withFlock } from "./flock.ts";
import { folderMode } from "./machine_folder.ts";
import { ensureOwnFolder, readOwnFile } from "./ownership.ts";

export interface TrustStatus {
  readonly trusted: boolean;
  /** Every key that reaches the host. */
  readonly keys: readonly HostKey[];
  /** Those that were not in the last approval. */
  readonly fresh: readonly HostKey[];
}

export interface TrustOptions {
  readonly config: Config;
  readonly paths: RumPaths;
  readonly signal?: AbortSignal;
}

export interface RequireTrustOptions extends TrustOptions {
  readonly canAsk: boolean;
  /** Shows the keys and asks; true = approve and remember. */
  readonly ask: (status: TrustStatus) => Promise<boolean>;
}

interface Approval {
  readonly hash: string;
  readonly keys: readonly string[];
  readonly at: string;
}

type Approvals = Map<string, Approval>;

const LOCK_WAIT_MS = 10_000;

export async function trustStatus({ config, paths }: TrustOptions): Promise<TrustStatus> {
  const keys = hostKeysOf(config);
  const hash = trustHash(keys);
  if (hash === undefined) return { trusted: true, keys, fresh: [] };
  const approval = (await readApprovals(paths)).get(config.path);
  if (approval?.hash === hash) return { trusted: true, keys, fresh: [] };
  const known = new Set(approval?.keys ?? []);
  return { trusted: false, keys, fresh: keys.filter((key) => !known.has(shortHash(key))) };
}

/** Remembers the host-affecting keys of this file as approved, instead of what was before. */
export async function approve({ config, paths, signal }: TrustOptions): Promise<void> {
  const keys = hostKeysOf(config);
  const hash = trustHash(keys);
  await change({ paths, signal }, (approvals) => {
    if (hash === undefined) return approvals.delete(config.path);
    const approval = { hash, keys: keys.map(shortHash), at: new Date().toISOString() };
    approvals.set(config.path, approval);
    return true;
  });
}

/** False when there was no approval of the file at that canonical path. */
export async function revoke(
  options: { readonly path: string; readonly paths: RumPaths; readonly signal?: AbortSignal },
): Promise<boolean> {
  return await change(options, (approvals) => approvals.delete(options.path));
}

/** Under the lock; written when something changed, which is what it answers. */
async function change(
  { paths, signal }: { readonly paths: RumPaths; readonly signal?: AbortSignal },
  edit: (approvals: Approvals) => boolean,
): Promise<boolean> {
  await ensureOwnFolder(paths.data, { mode: folderMode() });
  const holder = await describeHolder({
    role: "one-shot",
    operation: "trust",
    deadlineMs: LOCK_WAIT_MS,
  });
  return await withFlock(
    paths.trustLock,
    { holder, deadlineMs: LOCK_WAIT_MS, signal },
    async () => {
      const approvals = await readApprovals(paths);
      if (!edit(approvals)) return false;
      const text = JSON.stringify({ v: 1, approved: Object.fromEntries(approvals) }, null, 2) +
        "\n";
      await writeFileAtomic(paths.trust, text, { mode: 0o600, signal });
      return true;
    },
  );
}

/**
 * To be called before anything of `config` is applied, in every verb and in the daemon (there with
 * `canAsk: false`).
 *
 * @throws {RumError} `untrusted_config` with the keys in message and data
 */
export async function requireTrust(options: RequireTrustOptions): Promise<void> {
  const status = await trustStatus(options);
  if (status.trusted) return;
  if (options.canAsk && await options.ask(status)) return await approve(options);
  throw untrusted(options.config, status);
}

/**
 * Whether this very key of that rum.toml is among those that were approved last, whatever the file
 * says now. For what is done long after the file was read. A key that has to be made first is made
 * last: it tells what the disk holds, and as little as possible comes between that and its use.
 *
 * @throws {RumError} `untrusted_config`
 */
export async function requireApprovedKey(
  paths: RumPaths,
  configPath: string,
  wanted: HostKey | (() => Promise<HostKey>),
): Promise<void> {
  const approval = (await readApprovals(paths)).get(configPath);
  const key = typeof wanted === "function" ? await wanted() : wanted;
  if (approval?.keys.includes(shortHash(key))) return;
  throw new RumError(
    "untrusted_config",
    `${printableLine(key.key, 200)} of ${printableLine(configPath)} is not approved`,
    { hint: "rum trust", data: { path: configPath, keys: [key] } },
  );
}

export function untrusted(config: Config, status: TrustStatus): RumError {
  const count = status.keys.length === 1 ? "a key" : `${status.keys.length} keys`;
  return new RumError(
    "untrusted_config",
    `Configuration ${printableLine(config.path)} has ${count} that reach${
      status.keys.length === 1 ? "es" : ""
    } this host and that nobody approved:\n${trustList(status)}`,
    {
      hint: "rum trust",
      data: { path: config.path, keys: status.keys, fresh: status.fresh.map(({ key }) => key) },
    },
  );
}

/** One line per key: what, its value, why it matters, and whether it is new. */
export function trustList(status: TrustStatus): string {
  const mixed = status.fresh.length < status.keys.length && !status.trusted;
  return status.keys.map((hostKey) => {
    const mark = mixed ? (status.fresh.includes(hostKey) ? "new  " : "     ") : "";
    return `  ${mark}${printableLine(hostKey.key, 200)} = ${
      printableLine(hostKey.value, 2000)
    }\n  ${mark === "" ? "" : "     "}  (${hostKey.why})`;
  }).join("\n");
}

/**
 * Whether a program that is named by its path is still that file of the project that it was when it
 * was approved, or still none. To be asked right before every run: the guest may have written it.
 *
 * @throws {RumError} `untrusted_config` naming the file
 */
export async function requireUnchanged(
  path: string,
  approved: FileDigest | undefined,
  { folder, home }: { readonly folder: string; readonly home: string },
): Promise<void> {
  let found: FileDigest | undefined;
  try {
    found = await programFile(path, { folder, reader: diskReader(home) });
  } catch (cause) {
    throw unapprovedFile((cause as Error).message, { path, cause });
  }
  const text = (file: FileDigest | undefined) => file === undefined ? "" : fileText(file);
  if (text(found) === text(approved)) return;
  throw unapprovedFile(`File ${printableLine(path)} has changed since`, { path });
}

export function unapprovedFile(
  why: string,
  { path, cause }: { readonly path?: string; readonly cause?: unknown } = {},
): RumError {
  return new RumError("untrusted_config", `Cannot run an approved command: ${why}`, {
    hint: "rum trust",
    ...(cause === undefined ? {} : { cause }),
    ...(path === undefined ? {} : { data: { path } }),
  });
}

function shortHash(key: HostKey): string {
  return sha256Hex(fingerprintOf(key)).slice(0, 32);
}

async function readApprovals(paths: RumPaths): Promise<Approvals> {
  const text = await readOwnFile(paths.trust);
  if (text === undefined) return new Map();
  let value: { v?: unknown; approved?: unknown } | null;
  try {
    value = JSON.parse(text);
  } catch {
    return new Map();
  }
  if (typeof value !== "object" || value === null || typeof value.approved !== "object") {
    return new Map();
  }
  if (typeof value.v === "number" && value.v > 1) {
    throw new RumError(
      "state_newer",
      `Approvals in ${paths.trust} were written by a newer rum (version ${value.v}, wanted 1)`,
    );
  }
  return new Map(
    Object.entries(value.approved ?? {}).filter((entry): entry is [string, Approval] =>
      isApproval(entry[1])
    ),
  );
}

function isApproval(value: unknown): value is Approval {
  if (typeof value !== "object" || value === null) return false;
  const { hash, keys, at } = value as Record<string, unknown>;
  return typeof hash === "string" && typeof at === "string" && Array.isArray(keys) &&
    keys.every((key) => typeof key === "string");
}
