/**
 * Carries out the host's operations on one folder, one after another. Each is judged by what is
 * there now against what the host last wrote: what the guest changed is never overwritten and never
 * removed, it is reported as a conflict, and the rest goes on. Content that is equal already is no
 * conflict, however it got there (`rum cp` one way or the other).
 */
import {
  type FolderEntry,
  type FolderOpMessage,
  MAX_REFUSALS,
  type Refusal,
} from "../src/protocol/folders.ts";
import { RumError } from "../src/base/errors.ts";
import type { Call } from "./call.ts";
import type { FolderBase } from "./folder_base.ts";
import { Places, Refused, untouched } from "./folder_place.ts";
import { arrive, type Arrived, dressFile, hashOfFile, type Owner, put } from "./folder_write.ts";

const CHANGED_HERE = "changed in the guest too";

export class FolderApply {
  readonly refused: Refusal[] = [];
  done = 0;
  readonly #base: FolderBase;
  readonly #places: Places;
  readonly #owner: Owner;
  readonly #stage: () => string;

  constructor(options: { base: FolderBase; top: string; owner: Owner; stage: () => string }) {
    this.#base = options.base;
    this.#places = new Places(options.top);
    this.#owner = options.owner;
    this.#stage = options.stage;
  }

  async take(message: FolderOpMessage, call: Call): Promise<void> {
    const path = message.entry?.path ?? message.path;
    if (path === undefined) throw new RumError("protocol_error", "An operation names no path");
    try {
      await this.#carryOut(message, path, call);
      this.done++;
    } catch (error) {
      if (error instanceof RumError) throw error;
      const how = error instanceof Refused ? error.how : "failed";
      const why = error instanceof Error ? error.message : String(error);
      if (this.refused.length >= MAX_REFUSALS) {
        throw new RumError("agent_error", `More than ${MAX_REFUSALS} changes failed: ${why}`);
      }
      this.refused.push({ path, how, why: why.slice(0, 1000) });
    }
  }

  async #carryOut(message: FolderOpMessage, path: string, call: Call): Promise<void> {
    switch (message.op) {
      case "file":
        return await this.#file(need(message.entry), message.place ?? "new", call);
      case "same":
        return await this.#same(need(message.entry), message.sha256);
      case "folder":
        return this.#folder(need(message.entry));
      case "link":
        return this.#link(need(message.entry));
      case "meta":
        return this.#meta(need(message.entry));
      case "rename":
        return this.#rename(message.from ?? "", path);
      case "remove":
        return this.#remove(path);
      case "forget":
        return this.#base.delete(path);
    }
  }

  async #file(entry: FolderEntry, place: "new" | "in_place" | "replace", call: Call) {
    // The bytes are on the stream whatever becomes of them.
    const stage = this.#stage();
    const arrived = await arrive(call, entry, stage);
    try {
      const { full, now } = this.#places.at(entry.path);
      if (now !== undefined && !this.#ours(entry.path, full, now)) {
        await this.#adopt(entry, full, now, arrived.sha256);
        return;
      }
      this.#base.begin(entry.path);
      put(arrived, full, stage, { entry, place, there: now !== undefined, owner: this.#owner });
      // It may have shrunk while the host read it; what is here is what counts.
      this.#base.set(arrived.size === entry.size ? entry : { ...entry, size: arrived.size });
    } finally {
      discard(arrived);
    }
  }

  /** What is there may be replaced: the host wrote it, or was writing it. */
  #ours(path: string, full: string, now: Deno.FileInfo): boolean {
    if (!now.isFile) return false;
    return this.#base.unfinished(path) || untouched(now, full, this.#base.get(path));
  }

  /** Equal already: only its time and mode are missing. @throws {Refused} otherwise */
  async #adopt(entry: FolderEntry, full: string, now: Deno.FileInfo, sha256: string) {
    if (!now.isFile || now.size !== entry.size || await hashOfFile(full) !== sha256) {
      throw new Refused("conflict", now.isFile ? CHANGED_HERE : "something else in the guest");
    }
    dressFile(full, entry, {});
    this.#base.set(entry);
  }

  async #same(entry: FolderEntry, sha256: string | undefined) {
    const { full, now } = this.#places.at(entry.path);
    if (now?.isFile && now.size === entry.size && await hashOfFile(full) === sha256) {
      dressFile(full, entry, {});
      this.#base.set(entry);
      return;
    }
    const ours = now === undefined || this.#ours(entry.path, full, now);
    throw new Refused(ours ? "differs" : "conflict", ours ? "other content" : CHANGED_HERE);
  }

  #folder(entry: FolderEntry): void {
    const { full, now } = this.#places.at(entry.path);
    if (now !== undefined && !now.isDirectory) {
      throw new Refused("conflict", "no folder in the guest");
    }
    if (now === undefined) {
      Deno.mkdirSync(full);
      dressFile(full, entry, this.#owner);
    } else if (((now.mode ?? 0) & 0o7777) !== entry.mode) dressFile(full, entry, {});
    this.#base.set(entry);
  }

  #link(entry: FolderEntry): void {
    const { full, now } = this.#places.at(entry.path);
    const to = entry.to ?? "";
    if (now?.isSymlink && Deno.readLinkSync(full) === to) return this.#base.set(entry);
    if (now !== undefined && !untouched(now, full, this.#base.get(entry.path))) {
      throw new Refused("conflict", CHANGED_HERE);
    }
    if (now?.isDirectory) throw new Refused("conflict", "a folder in the guest");
    if (now === undefined) Deno.symlinkSync(to, full);
    else {
      const stage = this.#stage();
      Deno.symlinkSync(to, stage);
      Deno.renameSync(stage, full);
    }
    this.#base.set(entry);
  }

  #meta(entry: FolderEntry): void {
    const { full, now } = this.#places.at(entry.path);
    if (now === undefined) throw new Refused("differs", "it is gone in the guest");
    if (now.isSymlink || now.isDirectory !== (entry.type === "folder")) {
      throw new Refused("conflict", "something else in the guest");
    }
    // Of a file that the guest wrote, only the mode is ours to follow.
    if (now.isFile && !this.#ours(entry.path, full, now)) {
      Deno.chmodSync(full, entry.mode);
      const base = this.#base.get(entry.path);
      if (base !== undefined) this.#base.set({ ...base, mode: entry.mode });
      return;
    }
    dressFile(full, entry, {});
    this.#base.set(entry);
  }

  #rename(from: string, path: string): void {
    const source = this.#places.at(from);
    const target = this.#places.at(path);
    if (source.now === undefined || !untouched(source.now, source.full, this.#base.get(from))) {
      throw new Refused("differs", "the old name is gone or changed in the guest");
    }
    if (target.now !== undefined) {
      if (!source.now.isFile || !this.#ours(path, target.full, target.now)) {
        throw new Refused("differs", "the new name is taken in the guest");
      }
    }
    Deno.renameSync(source.full, target.full);
    this.#base.rename(from, path);
    if (source.now.isDirectory) this.#places.forget();
  }

  #remove(path: string): void {
    const base = this.#base.get(path);
    const { full, now } = this.#places.at(path);
    if (now !== undefined && base !== undefined) {
      if (base.type === "folder" && now.isDirectory) {
        // What the guest keeps in it is the guest's; then the folder stays too.
        if (!removeEmpty(full)) return this.#base.delete(path);
        this.#places.forget();
      } else if (untouched(now, full, base) || this.#base.unfinished(path)) Deno.removeSync(full);
      else throw new Refused("conflict", "removed on the host, changed in the guest");
    }
    this.#base.delete(path);
  }
}

/** False when something is in it. */
function removeEmpty(path: string): boolean {
  try {
    Deno.removeSync(path);
    return true;
  } catch (error) {
    for (const _ of Deno.readDirSync(path)) return false;
    throw error;
  }
}

function discard(arrived: Arrived): void {
  if (arrived.kind !== "staged") return;
  try {
    Deno.removeSync(arrived.path);
  } catch {
    // It was renamed into its place.
  }
}

function need(entry: FolderEntry | undefined): FolderEntry {
  if (entry !== undefined) return entry;
  throw new RumError("protocol_error", "An operation lacks its entry");
}
