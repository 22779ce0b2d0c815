/**
 * One `sync` mount: the host's folder copied into the guest, then every change as it happens.
 *
 *   attach ─► open (what does the guest have) ─► look at everything ─► send differences ─► in sync
 *                                                      ▲                                    │
 *                                                      └── changes, batched ◄───────────────┘
 *
 * Each link to the agent gets a run of its own. When the link ends the run ends, and the next one
 * begins with what the guest says it has: so a killed daemon, a rebooted guest and a batch that broke
 * off in the middle are one and the same case.
 */
import { RumError, toRumError } from "../base/errors.ts";
import { printableLine } from "../base/printable.ts";
import { advance, type Entry, type Op, pathOf } from "../sync/tree.ts";
import { diffTrees } from "../sync/tree.ts";
import type { AgentClient } from "./agent_client.ts";
import { applyInGuest, type FolderAt, openFolder, type Sent } from "./folder_call.ts";
import { FolderLook, type Question } from "./folder_look.ts";

export interface FolderStatus {
  readonly state: "off" | "waiting" | "copying" | "in_sync" | "degraded";
  /** Of the copying that is under way. */
  readonly done?: number;
  readonly total?: number;
  readonly why: readonly string[];
}

export interface FolderSyncOptions extends FolderAt {
  /** On this host, canonical. */
  readonly source: string;
  /** Told once each: a conflict, an overflow, a folder that cannot be copied. */
  readonly warn: (text: string) => void;
  readonly note: (text: string) => void;
}

/** A call carries at most so many changes: progress is seen, and a broken link costs little. */
const BATCH_OPS = 2000;
const BATCH_BYTES = 64 * 1024 * 1024;
const RETRY_MS = 15_000;
/** A large file that changes all the time is sent once a second. */
const LARGE = 256 * 1024;
const LARGE_EVERY_MS = 1000;
const SHOWN = 5;

export class FolderSync implements AsyncDisposable {
  readonly #options: FolderSyncOptions;
  #run:
    | { client: AgentClient; stop: AbortController; first: Promise<void>; done: Promise<void> }
    | undefined;
  #state: FolderStatus["state"] = "waiting";
  #progress: { done: number; total: number } | undefined;
  #failure: string | undefined;
  #look: FolderLook | undefined;
  readonly #conflicts = new Map<string, string>();
  readonly #failed = new Map<string, string>();

  constructor(options: FolderSyncOptions) {
    this.#options = options;
  }

  get status(): FolderStatus {
    const why = this.#why();
    const state = this.#state === "in_sync" && why.length > 0 ? "degraded" : this.#state;
    return { state, ...(state === "copying" ? this.#progress : {}), why };
  }

  /** Paths that changed on both sides since they were last equal. */
  get conflicts(): readonly string[] {
    return [...this.#conflicts.keys()];
  }

  /** Begins with this agent; resolves when the folder is in sync for the first time. */
  async attach(client: AgentClient, options: { signal?: AbortSignal } = {}): Promise<void> {
    if (this.#run?.client !== client) {
      await this.detach();
      const stop = new AbortController();
      const first = Promise.withResolvers<void>();
      first.promise.catch(() => {});
      const done = this.#follow(client, stop.signal, first);
      this.#run = { client, stop, first: first.promise, done };
    }
    const { first } = this.#run!;
    const { signal } = options;
    if (signal === undefined) return await first;
    signal.throwIfAborted();
    const aborted = Promise.withResolvers<never>();
    const onAbort = () => aborted.reject(signal.reason);
    signal.addEventListener("abort", onAbort, { once: true });
    try {
      await Promise.race([first, aborted.promise]);
    } finally {
      signal.removeEventListener("abort", onAbort);
    }
  }

  /** The agent is gone, or the mount. What was not sent is found again at the next attach. */
  async detach(): Promise<void> {
    const run = this.#run;
    this.#run = undefined;
    this.#state = "waiting";
    run?.stop.abort(new RumError("cancelled", "The folder was detached"));
    await run?.done;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.detach();
  }

  /** Never rejects; `first` does when the folder cannot be brought in sync at all. */
  async #follow(
    client: AgentClient,
    signal: AbortSignal,
    first: PromiseWithResolvers<void>,
  ): Promise<void> {
    for (;;) {
      const began = performance.now();
      try {
        await this.#oneRun(client, signal, first);
      } catch (thrown) {
        const error = toRumError(thrown);
        if (signal.aborted || LINK_ENDED.has(error.code)) {
          // After a detach the next run may be under way, and the state is its.
          if (!signal.aborted) this.#state = "waiting";
          first.reject(thrown);
          return;
        }
        this.#fail(`${error.message}`);
        first.reject(error);
      }
      // Not the link's fault (a full disk, a folder that is not there): it may get better.
      const again = Math.max(0, RETRY_MS - (performance.now() - began));
      if (!await slept(again, signal)) return;
    }
  }

  async #oneRun(
    client: AgentClient,
    signal: AbortSignal,
    first: PromiseWithResolvers<void>,
  ): Promise<never> {
    const { source, warn, note } = this.#options;
    this.#state = "copying";
    this.#progress = undefined;
    const known = await openFolder(client.mux, this.#options, { signal });
    let overflowed = false;
    await using look = new FolderLook({
      source,
      known,
      onOverflow: () => {
        if (!overflowed) {
          warn(`${source} changed faster than it could be watched; comparing it all`);
        }
        overflowed = true;
      },
    });
    this.#look = look;
    const retry = setInterval(() => {
      look.add([...this.#conflicts.keys(), ...this.#failed.keys()]);
    }, RETRY_MS);
    const pace = new Pace((path) => look.add([path]));
    try {
      let renames = true;
      for (let round = 0;; round++) {
        const question = await look.next(signal);
        const ops = this.#operations(question, look, renames);
        if (ops.length > 0) this.#state = "copying";
        this.#progress = { done: 0, total: ops.length };
        renames = await this.#send(client, known, pace.hold(ops), look, signal);
        this.#forgetGone(question, known);
        if (look.waiting) {
          this.#state = "in_sync";
          this.#failure = undefined;
          first.resolve();
          if (overflowed) note(`${source} is in sync again`);
          overflowed = false;
        }
      }
    } finally {
      clearInterval(retry);
      pace[Symbol.dispose]();
      if (this.#look === look) this.#look = undefined;
    }
  }

  #operations({ base, now }: Question, look: FolderLook, renames: boolean): Op[] {
    // Asking again after a conflict costs a hash, and the file only when the guest gave way.
    const ops: Op[] = diffTrees(base, now, { renames }).map((op) =>
      op.op === "file" && this.#conflicts.has(op.entry.path)
        ? { op: "same", entry: op.entry }
        : op.op === "remove" && look.ignored(op.path)
        ? { op: "forget", path: op.path }
        : op
    );
    for (const op of ops) {
      if (op.op === "remove" || op.op === "forget") look.dropped(op.path);
    }
    return ops;
  }

  /** False when a rename was refused: then the next look takes nothing for one. */
  async #send(
    client: AgentClient,
    known: Map<string, Entry>,
    ops: readonly Op[],
    look: FolderLook,
    signal: AbortSignal,
  ): Promise<boolean> {
    let renames = true;
    for (const batch of batches(ops)) {
      const sent = await applyInGuest(client.mux, this.#options, batch, {
        signal,
        from: look.top,
        took: () => void this.#progress!.done++,
      });
      if (!this.#settle(sent, known, look)) renames = false;
    }
    if (!renames) look.again();
    return renames;
  }

  #settle(sent: Sent, known: Map<string, Entry>, look: FolderLook): boolean {
    const refused = new Map(sent.refused.map((each) => [each.path, each]));
    let renames = true;
    for (const op of sent.ops) {
      const path = pathOf(op);
      const refusal = refused.get(path);
      if (refusal === undefined) {
        advance(known, op);
        this.#conflicts.delete(path);
        this.#failed.delete(path);
      } else if (op.op === "rename") renames = false;
      else if (refusal.how === "conflict") this.#conflict(path, refusal.why);
      else if (refusal.how === "differs") {
        known.delete(path);
        this.#conflicts.delete(path);
        look.add([path]);
      } else this.#failed.set(path, refusal.why);
    }
    for (const [path, why] of sent.unreadable) this.#failed.set(path, why);
    return renames;
  }

  /** What neither side of the bridge knows any more is nobody's trouble. */
  #forgetGone({ asked, now }: Question, known: ReadonlyMap<string, Entry>): void {
    for (const troubles of [this.#conflicts, this.#failed]) {
      for (const path of troubles.keys()) {
        if (asked?.has(path) === false || known.has(path) || now.has(path)) continue;
        troubles.delete(path);
      }
    }
  }

  #conflict(path: string, why: string): void {
    this.#failed.delete(path);
    if (!this.#conflicts.has(path)) {
      const { target } = this.#options;
      this.#options.warn(
        printableLine(`${target}/${path}: ${why}; the guest's stays, the host's was not copied`),
      );
    }
    this.#conflicts.set(path, why);
  }

  #fail(why: string): void {
    if (this.#failure !== why) {
      this.#options.warn(`Cannot copy ${this.#options.source}: ${why}`);
    }
    this.#failure = why;
    this.#state = "degraded";
  }

  #why(): string[] {
    const rows = [
      ...[...this.#conflicts].map(([path, why]) => `${path}: ${why}`),
      ...[...this.#failed].map(([path, why]) => `${path}: ${why}`),
      ...(this.#look?.troubles ?? []),
    ];
    const shown = rows.slice(0, SHOWN).map((row) => printableLine(row, 300));
    if (rows.length > SHOWN) shown.push(`and ${rows.length - SHOWN} more`);
    return this.#failure === undefined ? shown : [this.#failure, ...shown];
  }
}

const LINK_ENDED: ReadonlySet<string> = new Set(["agent_restarted", "agent_unavailable"]);

/** Holds back large files that were sent a moment ago. */
class Pace implements Disposable {
  readonly #sent = new Map<string, number>();
  readonly #timers = new Set<ReturnType<typeof setTimeout>>();
  readonly #release: (path: string) => void;

  constructor(release: (path: string) => void) {
    this.#release = release;
  }

  hold(ops: readonly Op[]): readonly Op[] {
    const now = performance.now();
    for (const [path, at] of this.#sent) if (now - at > LARGE_EVERY_MS) this.#sent.delete(path);
    return ops.filter((op) => {
      if (op.op !== "file" || op.entry.size < LARGE) return true;
      const last = this.#sent.get(op.entry.path);
      if (last === undefined) {
        this.#sent.set(op.entry.path, now);
        return true;
      }
      const timer = setTimeout(() => {
        this.#timers.delete(timer);
        this.#release(op.entry.path);
      }, last + LARGE_EVERY_MS + 1 - now);
      this.#timers.add(timer);
      return false;
    });
  }

  [Symbol.dispose](): void {
    for (const timer of this.#timers) clearTimeout(timer);
  }
}

function* batches(ops: readonly Op[]): Generator<readonly Op[]> {
  let batch: Op[] = [];
  let bytes = 0;
  for (const op of ops) {
    batch.push(op);
    if (op.op === "file") bytes += op.entry.size;
    if (batch.length < BATCH_OPS && bytes < BATCH_BYTES) continue;
    yield batch;
    batch = [];
    bytes = 0;
  }
  if (batch.length > 0) yield batch;
}

function slept(ms: number, signal: AbortSignal): Promise<boolean> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve(false);
    const end = (whole: boolean) => {
      clearTimeout(timer);
      signal.removeEventListener("abort", onAbort);
      resolve(whole);
    };
    const onAbort = () => end(false);
    const timer = setTimeout(() => end(true), ms);
    signal.addEventListener("abort", onAbort, { once: true });
  });
}
