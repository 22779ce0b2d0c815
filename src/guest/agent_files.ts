/**
 * Files and trees over the agent. Content goes chunk by chunk at the slower side's pace, holes as
 * counts, each file checked by SHA-256 at its end; where it lands is the caller's business.
 */
import { createHash } from "../base/hash.ts";
import {
  type FileDigest,
  fileDigest,
  type FileMeta,
  fileMeta,
  type TreeEntry,
  treeEntry,
  type TreeResult,
  treeResult,
  type WriteParams,
} from "../protocol/agent.ts";
import { decodeZeros, KIND } from "../protocol/calls.ts";
import { object, optional, text } from "../protocol/shape.ts";
import { zeroRuns } from "../protocol/zeros.ts";
import type { Mux } from "../wire/mux_types.ts";
import { AgentCall, type CallOptions } from "./agent_call.ts";
import { type TreeBounds, TreeGuard } from "./tree_names.ts";

/** Where a file from the guest goes. Each is awaited before more is taken. */
export interface FileSink {
  /** Once at most. */
  meta(meta: FileMeta): void | Promise<void>;
  data(bytes: Uint8Array): void | Promise<void>;
  /** A hole, or as good as one. */
  zeros(count: number): void | Promise<void>;
}

export async function statInGuest(
  mux: Mux,
  path: string,
  options: CallOptions & { followLinks?: boolean } = {},
): Promise<FileMeta> {
  const params = { path, followLinks: options.followLinks };
  await using call = await AgentCall.open(mux, "file.stat", params, options);
  return await call.result(fileMeta);
}

/** @throws {RumError} `no_such_file`; `agent_lied` when the bytes do not match their checksum */
export async function readFromGuest(
  mux: Mux,
  path: string,
  sink: FileSink,
  options: CallOptions & { bounds?: TreeBounds } = {},
): Promise<FileDigest> {
  await using call = await AgentCall.open(mux, "file.read", { path }, options);
  const guard = new TreeGuard(options.bounds);
  const body = new Body(call, guard, sink);
  let begun = false;
  for (;;) {
    const next = await call.next(fileDigest);
    if (next.kind === "final") return body.check(next.value);
    if (next.record.kind !== KIND.event) {
      await body.take(next.record.kind, next.record.payload);
      continue;
    }
    // Each may cost the sink a file of its own.
    if (begun) throw call.lied("began a file inside another");
    begun = true;
    await sink.meta(call.read(next.record, fileMeta));
  }
}

export interface TreeSink {
  /** Parents come before children; a file's bytes follow at once. */
  entry(entry: TreeEntry): void | Promise<void>;
  data(bytes: Uint8Array): void | Promise<void>;
  zeros(count: number): void | Promise<void>;
  /** The file of the last entry is complete and its checksum right. */
  fileEnd(digest: FileDigest): void | Promise<void>;
  /** An entry that was left out, and why. */
  refused(why: string): void;
}

const fileEndShape = object({ path: text(4096), digest: optional(fileDigest) });

/** @throws {RumError} `agent_lied` for names that lead anywhere but below the top */
export async function readTreeFromGuest(
  mux: Mux,
  path: string,
  sink: TreeSink,
  options: CallOptions & { bounds?: TreeBounds } = {},
): Promise<TreeResult> {
  await using call = await AgentCall.open(mux, "tree.read", { path }, options);
  const guard = new TreeGuard(options.bounds);
  let file: Body | undefined;
  for (;;) {
    const next = await call.next(treeResult);
    if (next.kind === "final") {
      if (file !== undefined) throw call.lied("ended a tree inside a file");
      return next.value;
    }
    const { kind } = next.record;
    if (kind !== KIND.event) {
      if (file === undefined) throw call.lied("sent bytes that belong to no file");
      await file.take(kind, next.record.payload);
      continue;
    }
    if (file !== undefined) {
      const { digest } = call.read(next.record, fileEndShape);
      if (digest === undefined) throw call.lied("began a file inside another");
      await sink.fileEnd(file.check(digest));
      file = undefined;
      continue;
    }
    const entry = call.read(next.record, treeEntry);
    const why = guard.admit(entry);
    if (why !== undefined) sink.refused(why);
    else await sink.entry(entry);
    if (entry.meta.type === "file") file = new Body(call, guard, sink);
  }
}

/** The bytes of one file from the guest. */
class Body {
  readonly #call: AgentCall;
  readonly #guard: TreeGuard;
  readonly #sink: Pick<FileSink, "data" | "zeros">;
  readonly #hash = createHash("sha256");
  #bytes = 0;

  constructor(call: AgentCall, guard: TreeGuard, sink: Pick<FileSink, "data" | "zeros">) {
    this.#call = call;
    this.#guard = guard;
    this.#sink = sink;
  }

  async take(kind: number, payload: Uint8Array): Promise<void> {
    if (kind === KIND.data) {
      this.#guard.count(payload.length);
      this.#bytes += payload.length;
      this.#hash.update(payload);
      await this.#sink.data(payload);
    } else if (kind === KIND.zeros) {
      const count = this.#zeros(payload);
      this.#guard.count(count);
      this.#bytes += count;
      await hashZeros(this.#hash, count);
      await this.#sink.zeros(count);
    } else throw this.#call.lied(`sent a record of kind ${kind} inside a file`);
  }

  #zeros(payload: Uint8Array): number {
    try {
      return decodeZeros(payload);
    } catch (thrown) {
      throw this.#call.lied("sent a run of zeros that no file has", thrown);
    }
  }

  check(digest: FileDigest): FileDigest {
    const sha256 = this.#hash.digest("hex");
    if (digest.sha256 === sha256 && digest.bytes === this.#bytes) return digest;
    throw this.#call.lied("sent bytes that do not match their checksum");
  }
}

const ZEROS = new Uint8Array(256 * 1024);

/** A guest may claim a terabyte of zeros in 13 bytes: hashing it must not hold the process. */
async function hashZeros(hash: ReturnType<typeof createHash>, count: number): Promise<void> {
  let since = 0;
  for (let left = count; left > 0; left -= ZEROS.length) {
    hash.update(left >= ZEROS.length ? ZEROS : ZEROS.subarray(0, left));
    if (++since % 64 === 0) await new Promise((resolve) => setTimeout(resolve, 0));
  }
}

/** Sends one file's bytes and their checksum. */
export async function sendBody(
  call: AgentCall,
  content: AsyncIterable<Uint8Array>,
): Promise<FileDigest> {
  const hash = createHash("sha256");
  let bytes = 0;
  let zeros = 0;
  for await (const chunk of content) {
    hash.update(chunk);
    bytes += chunk.length;
    for (const run of zeroRuns(chunk)) {
      if (run.zeros) {
        zeros += run.bytes.length;
        continue;
      }
      if (zeros > 0) await call.zeros(zeros);
      zeros = 0;
      await call.data(run.bytes);
    }
  }
  if (zeros > 0) await call.zeros(zeros);
  const digest = { sha256: hash.digest("hex"), bytes };
  await call.send(KIND.end, digest);
  return digest;
}

export async function writeToGuest(
  mux: Mux,
  params: WriteParams,
  content: AsyncIterable<Uint8Array>,
  options: CallOptions = {},
): Promise<FileDigest> {
  await using call = await AgentCall.open(mux, "file.write", params, options);
  return await whileSending(call, sendBody(call, content), call.result(fileDigest));
}

export interface TreeSource {
  readonly entry: TreeEntry;
  /** For files only. */
  readonly content?: AsyncIterable<Uint8Array>;
}

/** Entries with parents before children; the guest writes each file beside its place and renames. */
export async function writeTreeToGuest(
  mux: Mux,
  params: WriteParams,
  entries: AsyncIterable<TreeSource>,
  options: CallOptions = {},
): Promise<TreeResult> {
  await using call = await AgentCall.open(mux, "tree.write", params, options);
  const sending = async () => {
    for await (const { entry, content } of entries) {
      await call.send(KIND.params, entry);
      if (entry.meta.type === "file") await sendBody(call, content ?? nothing());
    }
    await call.send(KIND.end, {});
  };
  return await whileSending(call, sending(), call.result(treeResult));
}

async function* nothing(): AsyncGenerator<Uint8Array> {}

/**
 * An agent that refuses answers before it has read all: then nothing more is sent. The stream may be
 * closed to the sender a moment before the answer is read; it is the answer that says why.
 */
async function whileSending<T>(
  call: AgentCall,
  sending: Promise<unknown>,
  answer: Promise<T>,
): Promise<T> {
  sending.catch(() => {});
  answer.catch(() => {});
  try {
    await Promise.race([sending, answer]);
  } catch (thrown) {
    if (!call.cut) throw thrown;
  }
  return await answer;
}
