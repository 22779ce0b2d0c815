/**
 * The file-change bridge of one virtiofs or 9p mount with `inotify = true`: what changes on the host
 * is told to the agent, which raises an event for it in the guest (agent/folder_touch.ts has how,
 * and what cannot be done).
 *
 * No echo: raising an event leaves a file's size, time, mode and inode as they were, and what looks
 * as it did is not told again. What the guest itself changes is seen here too and told once; that
 * cannot be told apart from a host's change, and it ends there for the same reason.
 */
import { RumError, toRumError } from "../base/errors.ts";
import { advance, type Entry, type Op } from "../sync/tree.ts";
import { diffTrees } from "../sync/tree.ts";
import type { AgentClient } from "./agent_client.ts";
import { touchInGuest } from "./folder_call.ts";
import { FolderLook } from "./folder_look.ts";
import type { FolderStatus } from "./folder_sync.ts";

export interface FolderEventsOptions {
  readonly source: string;
  readonly target: string;
  readonly warn: (text: string) => void;
  readonly note: (text: string) => void;
}

const BATCH = 1000;

export class FolderEvents implements AsyncDisposable {
  readonly #options: FolderEventsOptions;
  #run:
    | { client: AgentClient; stop: AbortController; first: Promise<void>; done: Promise<void> }
    | undefined;
  #state: FolderStatus["state"] = "waiting";
  #why: string | undefined;
  #look: FolderLook | undefined;
  /** Kept over links: what changed while nobody listened is told at the next attach. */
  #known: Map<string, Entry> | undefined;

  constructor(options: FolderEventsOptions) {
    this.#options = options;
  }

  get status(): FolderStatus {
    const why = [...(this.#why === undefined ? [] : [this.#why]), ...(this.#look?.troubles ?? [])];
    const state = this.#state === "in_sync" && why.length > 0 ? "degraded" : this.#state;
    return { state, why };
  }

  /** Resolves when the host's folder is watched. */
  async attach(client: AgentClient): Promise<void> {
    if (this.#run?.client !== client) {
      await this.detach();
      const stop = new AbortController();
      const first = Promise.withResolvers<void>();
      const done = this.#follow(client, stop.signal, () => first.resolve());
      this.#run = { client, stop, first: first.promise, done };
    }
    await this.#run!.first;
  }

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

  /** Never rejects. */
  async #follow(client: AgentClient, signal: AbortSignal, watched: () => void): Promise<void> {
    const { source, target, warn, note } = this.#options;
    const fresh = this.#known === undefined;
    const known = this.#known ??= new Map();
    let overflowed = false;
    try {
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
      for (let round = 0;; round++) {
        const ops = diffTrees(...pair(await look.next(signal)));
        const first = round === 0 && fresh;
        for (let at = 0; at < ops.length; at += BATCH) {
          const batch = ops.slice(at, at + BATCH);
          const changes = first ? [] : changesOf(batch);
          if (changes.length > 0) {
            this.#why = await touchInGuest(client.mux, target, changes, { signal });
          }
          for (const op of batch) {
            advance(known, op);
            if (op.op === "remove") look.dropped(op.path);
          }
        }
        if (!look.waiting) continue;
        this.#state = "in_sync";
        watched();
        if (overflowed) note(`every change of ${source} has been told to the guest`);
        overflowed = false;
      }
    } catch (thrown) {
      const error = toRumError(thrown);
      if (signal.aborted) return;
      this.#state = "waiting";
      if (error.code !== "agent_restarted") {
        this.#state = "degraded";
        this.#why = error.message;
        warn(`Changes of ${source} are not told to the guest: ${error.message}`);
      }
    } finally {
      watched();
    }
  }
}

function pair(
  { base, now }: { base: ReadonlyMap<string, Entry>; now: ReadonlyMap<string, Entry> },
) {
  return [base, now] as const;
}

function changesOf(ops: readonly Op[]): { path: string; gone?: boolean }[] {
  const changes: { path: string; gone?: boolean }[] = [];
  for (const op of ops) {
    switch (op.op) {
      case "rename":
        changes.push({ path: op.from, gone: true }, { path: op.path });
        break;
      case "remove":
        changes.push({ path: op.path, gone: true });
        break;
      case "same":
      case "forget":
        // Touched and not changed: that is what our own event looks like.
        break;
      default:
        changes.push({ path: op.entry.path });
    }
  }
  return changes;
}
