/**
 * The host's inotify on one folder tree, folder by folder. Own calls and not Deno.watchFs, because
 * what is ignored must cost nothing (no watch on node_modules), an overflow must be heard of, and
 * links must never lead the watch out of the folder.
 *
 * It reports paths, not events: whoever listens looks at the path and decides. A folder is watched
 * before it is read, so nothing falls between. One thread per tree waits in poll(2).
 */
import { RumError } from "../base/errors.ts";
import type { Folder } from "../../ffi/folders.ts";
import { cPath, errno, libc } from "../../ffi/libc.ts";

const IN = {
  modify: 0x2,
  attrib: 0x4,
  closeWrite: 0x8,
  movedFrom: 0x40,
  movedTo: 0x80,
  create: 0x100,
  delete: 0x200,
  deleteSelf: 0x400,
  moveSelf: 0x800,
  overflow: 0x4000,
  ignored: 0x8000,
  onlyDir: 0x0100_0000,
  dontFollow: 0x0200_0000,
  exclUnlink: 0x0400_0000,
  isDir: 0x4000_0000,
} as const;

const MASK = IN.modify | IN.attrib | IN.closeWrite | IN.movedFrom | IN.movedTo | IN.create |
  IN.delete | IN.onlyDir | IN.dontFollow | IN.exclUnlink;
const IN_NONBLOCK = 0o4000;
const CLOEXEC = 0o2000000;
const POLLIN = 1;
const ENOSPC = 28;
const EMFILE = 24;
const HEAD = 16;
const BUFFER = 64 * 1024;
/** Between two reads: a storm wakes us so often and no more. */
const PAUSE_MS = 3;

export interface FolderWatchSink {
  /** Something happened to this path; `tree` when all below it is in question. */
  changed(path: string, what: { readonly tree: boolean }): void;
  /** Events were lost. */
  overflow(): void;
  /** The top itself went away. */
  lost(): void;
}

export class FolderWatch implements AsyncDisposable {
  readonly #root: string;
  readonly #sink: FolderWatchSink;
  readonly #fd: number;
  readonly #wakeFd: number;
  readonly #pathOf = new Map<number, string>();
  readonly #watchOf = new Map<string, number>();
  readonly #done: Promise<void>;
  #closed = false;

  /** @throws {RumError} `host_limit` when the host has no inotify instance left */
  constructor(root: string, sink: FolderWatchSink) {
    this.#root = root;
    this.#sink = sink;
    this.#fd = libc("inotify_init1")(IN_NONBLOCK | CLOEXEC);
    if (this.#fd < 0) throw limit(root, errno());
    this.#wakeFd = libc("eventfd")(0, CLOEXEC);
    this.#done = this.#loop();
  }

  get folders(): number {
    return this.#pathOf.size;
  }

  /**
   * False when it is no folder any more. "" is the top. The open folder is watched, which a path might
   * not lead to any more.
   *
   * @throws {RumError} `host_limit` when the host allows no more watches
   */
  add(folder: string, open: Folder): boolean {
    const mask = folder === "" ? MASK | IN.deleteSelf | IN.moveSelf : MASK;
    const watch = libc("inotify_add_watch")(this.#fd, cPath(`${open.path}/.`), mask);
    if (watch < 0) {
      const error = errno();
      if (error === ENOSPC) {
        throw limit(folder === "" ? this.#root : `${this.#root}/${folder}`, error);
      }
      return false;
    }
    const before = this.#pathOf.get(watch);
    if (before !== undefined && before !== folder) this.#watchOf.delete(before);
    this.#pathOf.set(watch, folder);
    this.#watchOf.set(folder, watch);
    return true;
  }

  /** A folder that left the tree, or is ignored from now on. */
  drop(folder: string): void {
    const watch = this.#watchOf.get(folder);
    if (watch === undefined) return;
    this.#watchOf.delete(folder);
    this.#pathOf.delete(watch);
    libc("inotify_rm_watch")(this.#fd, watch);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#closed) {
      this.#closed = true;
      libc("write")(this.#wakeFd, new Uint8Array(new BigUint64Array([1n]).buffer), 8n);
    }
    await this.#done;
  }

  async #loop(): Promise<void> {
    const table = new Uint8Array(16);
    const view = new DataView(table.buffer);
    view.setInt32(0, this.#fd, true);
    view.setInt32(8, this.#wakeFd, true);
    const buffer = new Uint8Array(BUFFER);
    while (!this.#closed) {
      view.setInt32(4, POLLIN, true);
      view.setInt32(12, POLLIN, true);
      await libc("poll_waiting")(table, 2n, -1);
      if (this.#closed) break;
      this.#drain(buffer);
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
    }
    libc("close")(this.#fd);
    libc("close")(this.#wakeFd);
  }

  #drain(buffer: Uint8Array<ArrayBuffer>): void {
    for (;;) {
      const got = Number(libc("read")(this.#fd, buffer, BigInt(BUFFER)));
      if (got <= 0) return;
      this.#take(buffer.subarray(0, got));
    }
  }

  #take(bytes: Uint8Array): void {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    for (let at = 0; at < bytes.length;) {
      const watch = view.getInt32(at, true);
      const mask = view.getUint32(at + 4, true);
      const length = view.getUint32(at + 12, true);
      const name = text(bytes.subarray(at + HEAD, at + HEAD + length));
      at += HEAD + length;
      if (mask & IN.overflow) {
        this.#sink.overflow();
        continue;
      }
      const folder = this.#pathOf.get(watch);
      if (mask & IN.ignored) {
        if (folder !== undefined) this.#watchOf.delete(folder);
        this.#pathOf.delete(watch);
        continue;
      }
      if (folder === undefined) continue;
      if (mask & (IN.deleteSelf | IN.moveSelf) && folder === "") {
        this.#sink.lost();
        continue;
      }
      if (name === "") continue;
      this.#sink.changed(folder === "" ? name : `${folder}/${name}`, {
        tree: (mask & IN.isDir) !== 0 && (mask & (IN.create | IN.movedTo)) !== 0,
      });
    }
  }
}

const utf8 = new TextDecoder();

/** The name is padded with NULs. */
function text(padded: Uint8Array): string {
  const end = padded.indexOf(0);
  return utf8.decode(end < 0 ? padded : padded.subarray(0, end));
}

function limit(path: string, error: number): RumError {
  return error === ENOSPC
    ? new RumError(
      "host_limit",
      `Cannot watch ${path}: this user has as many inotify watches as the host allows`,
      { hint: "sudo sysctl fs.inotify.max_user_watches=1048576" },
    )
    : new RumError(
      "host_limit",
      `Cannot watch ${path}: ${
        error === EMFILE ? "this user has as many inotify instances as the host allows" : error
      }`,
      { hint: "sudo sysctl fs.inotify.max_user_instances=1024" },
    );
}
