/** A `sync` folder's calls to the agent: what it has, what it must do, what it must show. */
import { createHash } from "../base/hash.ts";
import { printableLine } from "../base/printable.ts";
import { KIND } from "../protocol/calls.ts";
import {
  folderApplyResult,
  folderEntries,
  folderOpenResult,
  type FolderOpMessage,
  folderTouchResult,
  type Refusal,
} from "../protocol/folders.ts";
import type { Entry, Op } from "../sync/tree.ts";
import type { Mux } from "../wire/mux_types.ts";
import { AgentCall } from "./agent_call.ts";
import { sendBody } from "./agent_files.ts";
import { MAX_ENTRIES } from "./folder_scan.ts";
import type { SharedFolder } from "./shared_folder.ts";

/** Of all paths together: what a hostile guest may make us keep. */
const MAX_CHARACTERS = 64 * 1024 * 1024;

export interface FolderAt {
  readonly target: string;
  readonly user?: string;
}

/** What the guest's agent last wrote there. */
export async function openFolder(
  mux: Mux,
  { target, user }: FolderAt,
  options: { signal: AbortSignal },
): Promise<Map<string, Entry>> {
  await using call = await AgentCall.open(mux, "folder.open", { target, user }, options);
  const base = new Map<string, Entry>();
  let characters = 0;
  for (;;) {
    const next = await call.next(folderOpenResult);
    if (next.kind === "final") return base;
    if (next.record.kind !== KIND.event) throw call.lied("sent bytes instead of entries");
    for (const entry of call.read(next.record, folderEntries).entries) {
      characters += entry.path.length + (entry.to?.length ?? 0);
      base.set(entry.path, entry);
    }
    if (characters > MAX_CHARACTERS) throw call.lied("names more than any folder holds");
    if (base.size > MAX_ENTRIES) throw call.lied(`knows more than ${MAX_ENTRIES} entries`);
  }
}

export interface Sent {
  /** Operations that were sent, in order; the rest met a file that is gone or cannot be read. */
  readonly ops: readonly Op[];
  readonly refused: readonly Refusal[];
  readonly unreadable: ReadonlyMap<string, string>;
}

/** Carries operations out. `took` is called as each is on its way. */
export async function applyInGuest(
  mux: Mux,
  at: FolderAt,
  ops: readonly Op[],
  options: {
    readonly signal: AbortSignal;
    /** The host's side, where the files of the operations are read. */
    readonly from: SharedFolder;
    readonly took: (op: Op) => void;
  },
): Promise<Sent> {
  const { target, user } = at;
  const { signal } = options;
  await using call = await AgentCall.open(mux, "folder.apply", { target, user }, { signal });
  const sent: Op[] = [];
  const unreadable = new Map<string, string>();
  const sending = async () => {
    for (const op of ops) {
      try {
        if (await sendOp(call, options.from, op)) sent.push(op);
      } catch (error) {
        if (!(error instanceof Unreadable)) throw error;
        unreadable.set(error.path, error.message);
      }
      options.took(op);
    }
    await call.send(KIND.end, {});
  };
  const work = sending();
  const answer = call.result(folderApplyResult);
  work.catch(() => {});
  answer.catch(() => {});
  // An agent that gives up answers before it has read all.
  await Promise.race([work, answer]);
  const { refused } = await answer;
  await work;
  return {
    ops: sent,
    refused: refused.map((each) => ({ ...each, why: printableLine(each.why) })),
    unreadable,
  };
}

export async function touchInGuest(
  mux: Mux,
  target: string,
  changes: readonly { path: string; gone?: boolean }[],
  options: { signal: AbortSignal },
): Promise<string | undefined> {
  await using call = await AgentCall.open(mux, "folder.touch", { target, changes }, options);
  const { failed } = await call.result(folderTouchResult);
  return failed === undefined ? undefined : printableLine(failed);
}

class Unreadable extends Error {
  readonly path: string;

  constructor(path: string, why: string) {
    super(why);
    this.path = path;
  }
}

/** False when its file is gone by now: somebody will tell us. @throws {Unreadable} */
async function sendOp(call: AgentCall, from: SharedFolder, op: Op): Promise<boolean> {
  if (op.op !== "file" && op.op !== "same") {
    await call.send(KIND.params, op satisfies FolderOpMessage);
    return true;
  }
  const { path, size } = op.entry;
  const file = openFile(from, op.entry);
  if (file === undefined) return false;
  using _closing = file;
  if (op.op === "same") {
    const hash = createHash("sha256");
    for await (const chunk of chunks(file, size, path)) hash.update(chunk);
    await call.send(KIND.params, { ...op, sha256: hash.digest("hex") } satisfies FolderOpMessage);
    return true;
  }
  await call.send(KIND.params, op satisfies FolderOpMessage);
  await sendBody(call, chunks(file, size, path));
  return true;
}

function openFile(from: SharedFolder, entry: Entry): Deno.FsFile | undefined {
  let file: Deno.FsFile | undefined;
  try {
    file = from.file(entry.path);
  } catch (error) {
    throw new Unreadable(
      entry.path,
      error instanceof Deno.errors.PermissionDenied
        ? "it may not be read by this user"
        : error instanceof Error
        ? error.message
        : String(error),
    );
  }
  // Another file by now: not the one that was looked at.
  if (file !== undefined && entry.ino !== undefined && file.statSync().ino !== entry.ino) {
    file.close();
    return undefined;
  }
  return file;
}

/** At most what was announced: a file that grows is sent again. */
async function* chunks(
  file: Deno.FsFile,
  size: number,
  path: string,
): AsyncGenerator<Uint8Array> {
  const buffer = new Uint8Array(Math.max(1, Math.min(size, 64 * 1024)));
  for (let left = size; left > 0;) {
    let got: number | null;
    try {
      got = await file.read(buffer.subarray(0, Math.min(left, buffer.length)));
    } catch (error) {
      // Its first bytes are with the agent; the batch ends and everything is looked at again.
      throw new Error(`reading ${path} failed`, { cause: error });
    }
    if (got === null) return;
    left -= got;
    yield buffer.subarray(0, got);
  }
}
