/**
 * The daemon's log: one line per event, 10 MiB a file, five files. stdout and stderr are pointed at
 * it too, so that what a library or a crash prints is not lost; they are pointed again after each
 * rotation, because a descriptor follows its file and not the name.
 *
 * Logging never fails: a full disk or a removed folder must not end a daemon.
 */
import { cPath, libc } from "../../ffi/libc.ts";
import { printableLine } from "../base/printable.ts";

export interface DaemonLogOptions {
  readonly maxBytes?: number;
  readonly keep?: number;
  readonly now?: () => Date;
}

const O_WRONLY = 1;
const O_CREAT = 0o100;
const O_APPEND = 0o2000;
const O_CLOEXEC = 0o2000000;

export class DaemonLog {
  readonly path: string;
  readonly #maxBytes: number;
  readonly #keep: number;
  readonly #now: () => Date;
  #file?: Deno.FsFile;
  #redirected = false;

  constructor(path: string, options: DaemonLogOptions = {}) {
    this.path = path;
    this.#maxBytes = options.maxBytes ?? 10 * 1024 * 1024;
    this.#keep = options.keep ?? 5;
    this.#now = options.now ?? (() => new Date());
    this.reopen();
  }

  /** One line; what came from outside is stripped of terminal controls. */
  line(text: string): void {
    const line = `${this.#now().toISOString()} ${printableLine(text, 8192)}\n`;
    try {
      // Asked each time: what stdout and stderr wrote counts too.
      if (this.#file !== undefined && this.#file.statSync().size >= this.#maxBytes) this.#rotate();
      const bytes = new TextEncoder().encode(line);
      for (let at = 0; at < bytes.length;) at += this.#file!.writeSync(bytes.subarray(at));
    } catch {
      // Never the daemon's end.
    }
  }

  /** Opens the name anew (HUP: somebody moved the file away). */
  reopen(): void {
    try {
      const file = Deno.openSync(this.path, { append: true, create: true, mode: 0o600 });
      this.#file?.close();
      this.#file = file;
      if (this.#redirected) this.#pointDescriptors();
    } catch {
      // The old file goes on being written.
    }
  }

  /** From here on stdout and stderr of this process go to the log. */
  redirect(): void {
    this.#redirected = true;
    this.#pointDescriptors();
  }

  close(): void {
    this.#file?.close();
    this.#file = undefined;
  }

  #rotate(): void {
    for (let n = this.#keep - 2; n >= 0; n--) {
      const from = n === 0 ? this.path : `${this.path}.${n}`;
      try {
        Deno.renameSync(from, `${this.path}.${n + 1}`);
      } catch {
        // That one is not there yet.
      }
    }
    this.reopen();
  }

  #pointDescriptors(): void {
    const fd = libc("open")(cPath(this.path), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o600);
    if (fd < 0) return;
    libc("dup2")(fd, 1);
    libc("dup2")(fd, 2);
    libc("close")(fd);
  }
}

/** The last lines of a log, for a message that says why a daemon did not start. */
export async function logTail(path: string, lines = 10): Promise<string[]> {
  try {
    using file = await Deno.open(path, { read: true });
    const { size } = await file.stat();
    const take = Math.min(size, 16 * 1024);
    await file.seek(size - take, Deno.SeekMode.Start);
    const bytes = new Uint8Array(take);
    const n = await file.read(bytes) ?? 0;
    const text = new TextDecoder().decode(bytes.subarray(0, n)).trimEnd();
    return text === ""
      ? []
      : text.split("\n").slice(-lines).map((line) => printableLine(line, 500));
  } catch {
    return [];
  }
}
