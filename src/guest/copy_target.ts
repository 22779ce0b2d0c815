/**
 * What comes out of the guest, written to this host: each file beside its place, checked, then
 * renamed over it, holes kept. The names have been through `TreeGuard`; here they are walked by open
 * folders that follow no link, because the guest may share the very folder that is written to.
 *
 * A mode from the guest loses its setuid, setgid and sticky bits: root of the guest must not leave
 * a program that makes its caller root of the host.
 */
import { Folder, FolderWalk } from "../../ffi/folders.ts";
import { RumError } from "../base/errors.ts";
import { printableLine } from "../base/printable.ts";
import type { FileDigest, FileMeta, TreeEntry } from "../protocol/agent.ts";
import type { FileSink, TreeSink } from "./agent_files.ts";
import { localError } from "./copy_source.ts";

export interface TargetOptions {
  readonly progress?: (bytes: number) => void;
  readonly leftOut?: (why: string) => void;
}

/** One file being written under another name. */
class PendingFile {
  readonly #folder: Folder;
  readonly #temporary = `.rum-${crypto.randomUUID().slice(0, 12)}`;
  readonly #file: Deno.FsFile;
  #at = 0;
  #hole = false;
  #closed = false;

  constructor(folder: Folder) {
    this.#folder = folder;
    this.#file = Deno.openSync(this.path, { write: true, createNew: true, mode: 0o600 });
  }

  get path(): string {
    return `${this.#folder.path}/${this.#temporary}`;
  }

  async data(bytes: Uint8Array): Promise<void> {
    if (this.#hole) await this.#file.seek(this.#at, Deno.SeekMode.Start);
    this.#hole = false;
    for (let done = 0; done < bytes.length;) done += await this.#file.write(bytes.subarray(done));
    this.#at += bytes.length;
  }

  zeros(count: number): void {
    this.#at += count;
    this.#hole = true;
  }

  /** The content is complete and checked. */
  async publish(name: string, meta: FileMeta): Promise<void> {
    if (this.#hole) await this.#file.truncate(this.#at);
    await this.#file.sync();
    this.#close();
    await dress(this.path, meta);
    this.#folder.rename(this.#temporary, name);
  }

  discard(): void {
    this.#close();
    try {
      this.#folder.remove(this.#temporary);
    } catch {
      // The folder went with everything in it.
    }
  }

  #close(): void {
    if (!this.#closed) this.#file.close();
    this.#closed = true;
  }
}

/** A single file. Dispose of it whatever happens: without `publish` the old one stays. */
export class FileTarget implements FileSink, Disposable {
  readonly #name: string;
  readonly #folder: Folder;
  readonly #shown: string;
  readonly #progress: (bytes: number) => void;
  #meta?: FileMeta;
  #file?: PendingFile;
  #done = false;

  /** @throws {RumError} `no_such_file` when its folder does not exist */
  constructor(path: string, options: TargetOptions = {}) {
    const slash = path.lastIndexOf("/");
    this.#shown = printableLine(path);
    this.#name = path.slice(slash + 1);
    this.#progress = options.progress ?? (() => {});
    this.#folder = here(
      () => Folder.open(slash < 0 ? "." : path.slice(0, slash) || "/"),
      `write "${this.#shown}"`,
    );
  }

  meta(meta: FileMeta): void {
    this.#meta = meta;
    this.#file = here(() => new PendingFile(this.#folder), `write "${this.#shown}"`);
  }

  async data(bytes: Uint8Array): Promise<void> {
    this.#progress(bytes.length);
    await hereAsync(() => this.#pending().data(bytes), `write "${this.#shown}"`);
  }

  zeros(count: number): void {
    this.#progress(count);
    this.#pending().zeros(count);
  }

  async publish(): Promise<void> {
    await hereAsync(
      () => this.#pending().publish(this.#name, this.#meta!),
      `write "${this.#shown}"`,
    );
    this.#done = true;
  }

  [Symbol.dispose](): void {
    if (!this.#done) this.#file?.discard();
    this.#folder[Symbol.dispose]();
  }

  #pending(): PendingFile {
    if (this.#file !== undefined) return this.#file;
    throw new RumError("agent_lied", "The guest sent a file's bytes before saying what it is");
  }
}

/** A tree. Dispose of it whatever happens; files that are complete stay. */
export class TreeTarget implements TreeSink, Disposable {
  readonly #top: string;
  readonly #options: TargetOptions;
  /** Those that were there keep their mode and time, as with `cp -r`. */
  readonly #made: { readonly path: string; readonly meta: FileMeta }[] = [];
  #walk?: FolderWalk;
  #file?: { readonly pending: PendingFile; readonly name: string; readonly entry: TreeEntry };
  #files = 0;

  constructor(top: string, options: TargetOptions = {}) {
    this.#top = top;
    this.#options = options;
  }

  /** How many files are complete. */
  get files(): number {
    return this.#files;
  }

  async entry(entry: TreeEntry): Promise<void> {
    await hereAsync(() => this.#entry(entry), `write "${this.#shown(entry.path)}"`);
  }

  async data(bytes: Uint8Array): Promise<void> {
    this.#options.progress?.(bytes.length);
    const { pending, entry } = this.#file!;
    await hereAsync(() => pending.data(bytes), `write "${this.#shown(entry.path)}"`);
  }

  zeros(count: number): void {
    this.#options.progress?.(count);
    this.#file!.pending.zeros(count);
  }

  async fileEnd(_digest: FileDigest): Promise<void> {
    const { pending, name, entry } = this.#file!;
    await hereAsync(
      () => pending.publish(name, entry.meta),
      `write "${this.#shown(entry.path)}"`,
    );
    this.#file = undefined;
    this.#files++;
  }

  refused(why: string): void {
    this.#options.leftOut?.(why);
  }

  /** The new folders' own modes and times, once nothing is written into them any more. */
  async publish(): Promise<void> {
    for (const { path, meta } of this.#made.reverse()) {
      await hereAsync(async () => {
        const folder = path === "" ? this.#open().top : this.#open().at(path.split("/"));
        await dress(folder.path, meta);
      }, `write "${this.#shown(path)}"`);
    }
  }

  [Symbol.dispose](): void {
    this.#file?.pending.discard();
    this.#walk?.[Symbol.dispose]();
  }

  async #entry(entry: TreeEntry): Promise<void> {
    const { path, meta } = entry;
    if (path === "") {
      if (meta.type !== "folder") {
        throw new RumError("agent_lied", `The guest called a ${meta.type} a folder`);
      }
      try {
        await Deno.mkdir(this.#top, { mode: whileCopying(meta) });
        this.#made.push(entry);
      } catch (error) {
        ignoreExisting(error);
      }
      return;
    }
    const { folder, name } = this.#open().place(path);
    if (meta.type === "folder") {
      try {
        folder.makeFolder(name, whileCopying(meta));
        this.#made.push(entry);
      } catch (error) {
        ignoreExisting(error);
        folder.folder(name)[Symbol.dispose]();
      }
    } else if (meta.type === "link") {
      const temporary = `.rum-${crypto.randomUUID().slice(0, 12)}`;
      folder.makeLink(temporary, meta.target ?? "");
      try {
        folder.rename(temporary, name);
      } catch (error) {
        folder.remove(temporary);
        throw error;
      }
    } else if (meta.type === "file") {
      this.#file = { pending: new PendingFile(folder), name, entry };
    }
  }

  #open(): FolderWalk {
    return this.#walk ??= new FolderWalk(Folder.open(this.#top));
  }

  #shown(path: string): string {
    return printableLine(path === "" ? this.#top : `${this.#top}/${path}`, 300);
  }
}

/** Its own already, because a copy that broke off and is done again leaves it as it finds it. */
function whileCopying({ mode }: FileMeta): number {
  return (mode & 0o777) | 0o700;
}

async function dress(path: string, { mode, mtimeMs }: FileMeta): Promise<void> {
  await Deno.chmod(path, mode & 0o777);
  const mtime = new Date(mtimeMs);
  await Deno.utime(path, mtime, mtime);
}

function here<T>(work: () => T, action: string): T {
  try {
    return work();
  } catch (cause) {
    throw localError(cause, `Cannot ${action}`);
  }
}

async function hereAsync(work: () => Promise<void>, action: string): Promise<void> {
  try {
    await work();
  } catch (cause) {
    throw localError(cause, `Cannot ${action}`);
  }
}

function ignoreExisting(error: unknown): void {
  if (!(error instanceof Deno.errors.AlreadyExists)) throw error;
}
