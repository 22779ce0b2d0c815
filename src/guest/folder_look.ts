/**
 * A host folder under observation: the tree as somebody knows it (`known`), the watch, the ignore
 * rules, and what is dirty. `next` waits for changes, collects them for a few milliseconds, looks at
 * exactly those paths and answers with the part of both trees that is in question.
 *
 * Lost events, a changed ignore file and a watch that the host refused all end in the same place: a
 * look at everything. Without watches that happens twice a minute.
 */
import { RumError } from "../base/errors.ts";
import { DirtySet } from "../sync/dirty.ts";
import { IgnoreRules, isIgnoreFile } from "../sync/ignore.ts";
import { belowAny, type Entry, parents, type Tree } from "../sync/tree.ts";
import type { Folder } from "../../ffi/folders.ts";
import { lookAt, scanTree } from "./folder_scan.ts";
import { FolderWatch } from "./folder_watch.ts";
import { SharedFolder } from "./shared_folder.ts";

/** From the first event: what belongs together arrives together, and nobody waits for long. */
const BATCH_MS = 8;
const UNWATCHED_RESCAN_MS = 30_000;
const MAX_SKIPPED = 100;

export interface Question {
  /** The known entries that are in question, and what is there instead. */
  readonly base: Tree;
  readonly now: Tree;
  /** The paths that were asked about; undefined = all there are. */
  readonly asked?: ReadonlySet<string>;
}

export interface FolderLookOptions {
  readonly source: string;
  /** What the other side has, as far as we know; kept up to date by whoever carries changes out. */
  readonly known: Map<string, Entry>;
  readonly onOverflow: () => void;
}

export class FolderLook implements AsyncDisposable {
  #top: SharedFolder | undefined;
  readonly #options: FolderLookOptions;
  readonly #watch: FolderWatch;
  readonly #dirty = new DirtySet();
  readonly #skipped = new Map<string, string>();
  #rules = new IgnoreRules();
  #wake = Promise.withResolvers<void>();
  #unwatched: RumError | undefined;
  #lost = false;

  /** Everything is in question at first. @throws {RumError} `host_limit` */
  constructor(options: FolderLookOptions) {
    this.#options = options;
    this.#watch = new FolderWatch(options.source, {
      changed: (path, { tree }) => {
        if (isIgnoreFile(path)) this.#dirty.addAll();
        else if (tree) this.#dirty.addTree(path);
        else this.#dirty.add(path);
        this.#wake.resolve();
      },
      overflow: () => {
        options.onOverflow();
        this.again();
      },
      lost: () => {
        this.#lost = true;
        this.again();
      },
    });
    this.#dirty.addAll();
    this.#wake.resolve();
  }

  /** What cannot be watched or read, as sentences. */
  get troubles(): string[] {
    const found = [...this.#skipped].map(([path, why]) => `${path || "."}: ${why}`);
    return this.#unwatched === undefined
      ? found
      : [`${this.#unwatched.message}; looking every 30 s instead`, ...found];
  }

  /** Looks at everything once more. */
  again(): void {
    this.#dirty.addAll();
    this.#wake.resolve();
  }

  /** Looks at these once more. */
  add(paths: Iterable<string>): void {
    for (const path of paths) this.#dirty.add(path);
    if (!this.#dirty.empty) this.#wake.resolve();
  }

  get waiting(): boolean {
    return this.#dirty.empty;
  }

  /**
   * The folder as the last question was asked of it, for whoever reads files to answer it.
   *
   * @throws {RumError} `no_such_file`, `untrusted_config`
   */
  get top(): SharedFolder {
    return this.#top ??= SharedFolder.open(this.#options.source);
  }

  /**
   * Waits for something to change.
   *
   * @throws the signal's reason; `no_such_file` without a folder, `untrusted_config` when a link
   *   stands in its place
   */
  async next(signal: AbortSignal): Promise<Question> {
    // Opened anew for each question: the kernel tells of a folder's end only once nobody has it open.
    this.#close();
    await this.#changed(signal);
    if (!this.#dirty.all) await pause(BATCH_MS, signal);
    this.#wake = Promise.withResolvers();
    const { all, paths, trees } = this.#dirty.take();
    return all ? await this.#everything(signal) : await this.#some(paths, trees, signal);
  }

  /** Left out by the rules, itself or through a folder above it. */
  ignored(path: string): boolean {
    return parents(path).some((folder) => this.#rules.ignores(folder, true)) ||
      this.#rules.ignores(path, this.#options.known.get(path)?.type === "folder");
  }

  /** The folder is gone: nothing will come from below it. */
  dropped(path: string): void {
    this.#watch.drop(path);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#close();
    await this.#watch[Symbol.asyncDispose]();
  }

  #close(): void {
    this.#top?.[Symbol.dispose]();
    this.#top = undefined;
  }

  async #changed(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    if (!this.#dirty.empty) return;
    const { promise, reject } = Promise.withResolvers<never>();
    const onAbort = () => reject(signal.reason);
    signal.addEventListener("abort", onAbort, { once: true });
    const timer = this.#unwatched === undefined
      ? undefined
      : setTimeout(() => this.again(), UNWATCHED_RESCAN_MS);
    try {
      await Promise.race([this.#wake.promise, promise]);
    } finally {
      signal.removeEventListener("abort", onAbort);
      clearTimeout(timer);
    }
  }

  async #everything(signal: AbortSignal): Promise<Question> {
    this.#rules = new IgnoreRules();
    this.#skipped.clear();
    this.#unwatched = undefined;
    if (this.#lost) {
      // Moved away or deleted; what stands at the path now, if anything, is another folder.
      this.#lost = false;
      this.#watch.drop("");
    }
    const now = new Map<string, Entry>();
    await this.#scan("", now, signal);
    return { base: this.#options.known, now };
  }

  async #some(
    paths: ReadonlySet<string>,
    trees: ReadonlySet<string>,
    signal: AbortSignal,
  ): Promise<Question> {
    const { known } = this.#options;
    const { top } = this;
    const base = new Map<string, Entry>();
    const now = new Map<string, Entry>();
    const options = { rules: this.#rules, onSkipped: this.#skip };
    /** What is in question with all that is known below it. */
    const whole = new Set<string>();
    for (const path of [...trees, ...paths]) {
      if (parents(path).some((folder) => this.#rules.ignores(folder, true))) continue;
      // A folder above it may have become a link meanwhile; then there is nothing here to look at.
      const place = top.parentOf(path);
      if (place === undefined) {
        whole.add(path);
        continue;
      }
      const before = known.get(path);
      const entry = lookAt(place.folder, place.name, path, options);
      if (trees.has(path) || (before?.type === "folder") !== (entry?.type === "folder")) {
        whole.add(path);
      } else if (before !== undefined) base.set(path, before);
      if (entry === undefined) continue;
      now.set(path, entry);
      this.#skipped.delete(path);
      if (entry.type === "folder" && whole.has(path)) await this.#scan(path, now, signal);
    }
    for (const path of belowAny(known, whole)) base.set(path, known.get(path)!);
    return { base, now, asked: paths };
  }

  async #scan(top: string, into: Map<string, Entry>, signal: AbortSignal): Promise<void> {
    await scanTree(this.top, top, into, {
      rules: this.#rules,
      onSkipped: this.#skip,
      onFolder: (folder, open) => this.#watched(folder, open),
      signal,
    });
  }

  #watched(folder: string, open: Folder): void {
    if (this.#unwatched !== undefined) return;
    try {
      this.#watch.add(folder, open);
    } catch (error) {
      if (!(error instanceof RumError)) throw error;
      this.#unwatched = error;
    }
  }

  readonly #skip = (path: string, why: string): void => {
    if (this.#skipped.size < MAX_SKIPPED) this.#skipped.set(path, why);
  };
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const onAbort = () => {
      clearTimeout(timer);
      reject(signal.reason);
    };
    const timer = setTimeout(() => {
      signal.removeEventListener("abort", onAbort);
      resolve();
    }, ms);
    signal.addEventListener("abort", onAbort, { once: true });
  });
}
