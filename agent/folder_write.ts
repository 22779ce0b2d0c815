/**
 * A file of a `sync` folder, written the way it was on the host, so that watchers in the guest see
 * the events that they would see there:
 *
 *   new        created under its name            CREATE, MODIFY, CLOSE_WRITE
 *   in_place   the same inode gets new bytes     MODIFY, CLOSE_WRITE; watchers of the file stay on
 *   replace    made elsewhere, renamed over it   MOVED_TO
 *
 * Up to 1 MiB is held in memory until its checksum is right, then written at once. What is larger
 * is staged and renamed, whatever it was on the host: nobody should see half of it.
 */
import { createHash } from "../src/base/hash.ts";
import { RumError } from "../src/base/errors.ts";
import { fileDigest } from "../src/protocol/agent.ts";
import { decodeZeros, KIND } from "../src/protocol/calls.ts";
import type { FolderEntry } from "../src/protocol/folders.ts";
import { parseJson } from "../src/wire/json.ts";
import type { Call } from "./call.ts";
import { receiveFile, type Records } from "./files/receive.ts";

export const IN_MEMORY = 1024 * 1024;

export interface Owner {
  readonly uid?: number;
  readonly gid?: number;
}

/** A file's bytes, complete and checked: in memory, or in a file of our own. */
export type Arrived =
  & { readonly size: number; readonly sha256: string }
  & (
    | { readonly kind: "bytes"; readonly bytes: Uint8Array }
    | { readonly kind: "staged"; readonly path: string }
  );

export async function arrive(call: Call, entry: FolderEntry, stage: string): Promise<Arrived> {
  if (entry.size > IN_MEMORY) return await staged(call, stage);
  const chunks: Uint8Array[] = [];
  let size = 0;
  for (;;) {
    const record = await call.records.next();
    if (record === undefined) throw new RumError("protocol_error", "A file ended without its end");
    if (record.kind === KIND.end) {
      const bytes = joined(chunks, size);
      const wanted = fileDigest(parseJson(record.payload, "A file's end"), "");
      const sha256 = hashOf(bytes);
      if (wanted.sha256 === sha256 && wanted.bytes === size) {
        return { kind: "bytes", bytes, size, sha256 };
      }
      throw new RumError("protocol_error", `"${entry.path}" is not what was sent`);
    }
    const chunk = record.kind === KIND.data
      ? record.payload.slice()
      : record.kind === KIND.zeros
      ? zeros(record.payload)
      : undefined;
    if (chunk === undefined) {
      throw new RumError("protocol_error", `A record of kind ${record.kind} inside a file`);
    }
    size += chunk.length;
    // It grew while it was read; what it had was bound to fit.
    if (size > 2 * IN_MEMORY) {
      throw new RumError("protocol_error", `"${entry.path}" is longer than announced`);
    }
    chunks.push(chunk);
  }
}

/** A disk that is full stops this file, so the bytes that it still has on the stream are passed over. */
async function staged(call: Call, stage: string): Promise<Arrived> {
  const records = new FileRecords(call.records);
  try {
    const { sha256, bytes } = await receiveFile({ records }, { path: stage, mode: 0o600 });
    return { kind: "staged", path: stage, size: bytes, sha256 };
  } catch (error) {
    if (!(error instanceof RumError)) await records.passOver();
    throw error;
  }
}

/** The records of one file; what comes after its end is the next change. */
class FileRecords {
  readonly #records: Records;
  #ended = false;

  constructor(records: Records) {
    this.#records = records;
  }

  async next(): ReturnType<Records["next"]> {
    const record = await this.#records.next();
    this.#ended = record === undefined || record.kind === KIND.end;
    return record;
  }

  async passOver(): Promise<void> {
    while (!this.#ended) await this.next();
  }
}

export function put(
  arrived: Arrived,
  full: string,
  stage: string,
  how: { entry: FolderEntry; place: "new" | "in_place" | "replace"; there: boolean; owner: Owner },
): void {
  const { entry, there, owner } = how;
  if (arrived.kind === "staged") {
    dressFile(arrived.path, entry, owner);
    Deno.renameSync(arrived.path, full);
    return;
  }
  if (how.place === "replace" && there) {
    Deno.writeFileSync(stage, arrived.bytes, { createNew: true, mode: 0o600 });
    dressFile(stage, entry, owner);
    Deno.renameSync(stage, full);
    return;
  }
  {
    using file = Deno.openSync(
      full,
      there ? { write: true } : { write: true, createNew: true, mode: entry.mode & 0o777 },
    );
    const { bytes } = arrived;
    for (let at = 0; at < bytes.length;) at += file.writeSync(bytes.subarray(at));
    if (there) file.truncateSync(bytes.length);
  }
  dressFile(full, entry, there ? {} : owner);
}

/** Owner before mode: a change of owner takes setuid bits away. Time last. */
export function dressFile(path: string, entry: FolderEntry, owner: Owner): void {
  if (owner.uid !== undefined && owner.gid !== undefined) {
    Deno.chownSync(path, owner.uid, owner.gid);
  }
  Deno.chmodSync(path, entry.mode);
  if (entry.type !== "file") return;
  const time = new Date(entry.mtimeMs);
  Deno.utimeSync(path, time, time);
}

export async function hashOfFile(path: string): Promise<string> {
  const hash = createHash("sha256");
  using file = await Deno.open(path);
  const buffer = new Uint8Array(64 * 1024);
  for (let n = await file.read(buffer); n !== null; n = await file.read(buffer)) {
    hash.update(buffer.subarray(0, n));
  }
  return hash.digest("hex");
}

function hashOf(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

function joined(chunks: readonly Uint8Array[], size: number): Uint8Array {
  if (chunks.length === 1) return chunks[0];
  const all = new Uint8Array(size);
  let at = 0;
  for (const chunk of chunks) {
    all.set(chunk, at);
    at += chunk.length;
  }
  return all;
}

function zeros(payload: Uint8Array): Uint8Array {
  const count = decodeZeros(payload);
  if (count > 2 * IN_MEMORY) throw new RumError("protocol_error", "A hole longer than its file");
  return new Uint8Array(count);
}
