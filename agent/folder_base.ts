/**
 * What the host last wrote into one folder: path → entry, kept in memory and in a journal on the
 * guest's disk, one JSON line an entry, appended as things happen and written anew when most of it
 * is old. A file whose bytes are on their way has an open intent: if we end in between, what lies
 * there is ours to overwrite and no change of the guest's.
 *
 * The journal is not synced to disk. After a power cut it may lack its end; then the content of
 * what it lacks decides, and at worst somebody is asked.
 */
import { type FolderEntry, folderEntry } from "../src/protocol/folders.ts";
import { object, optional, text } from "../src/protocol/shape.ts";
import { Slices } from "./slices.ts";

const line = object({
  e: optional(folderEntry),
  /** gone */
  x: optional(text(4096)),
  /** renamed from, to */
  r: optional(text(4096)),
  t: optional(text(4096)),
  /** intent: bytes are on their way */
  w: optional(text(4096)),
});

const COMPACT_SLACK = 1000;

export class FolderBase implements Disposable {
  readonly #path: string;
  readonly entries: Map<string, FolderEntry>;
  readonly #intents: Set<string>;
  #file: Deno.FsFile;
  #lines: number;
  /** A write failed, on a full disk say: the journal may end inside a line. */
  #torn = false;

  private constructor(
    path: string,
    entries: Map<string, FolderEntry>,
    intents: Set<string>,
    lines: number,
  ) {
    this.#path = path;
    this.entries = entries;
    this.#intents = intents;
    this.#lines = lines;
    this.#file = Deno.openSync(path, { append: true, create: true, mode: 0o600 });
  }

  static async open(path: string): Promise<FolderBase> {
    const entries = new Map<string, FolderEntry>();
    const intents = new Set<string>();
    let content = "";
    try {
      content = await Deno.readTextFile(path);
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
    let lines = 0;
    const slices = new Slices();
    for (const each of content.split("\n")) {
      if (each === "") continue;
      if (++lines % 100 === 0) await slices.rest();
      replay(each, entries, intents);
    }
    const base = new FolderBase(path, entries, intents, lines);
    // A torn last line must not swallow the next one.
    if (content !== "" && !content.endsWith("\n")) base.#compact();
    return base;
  }

  get(path: string): FolderEntry | undefined {
    return this.entries.get(path);
  }

  /** True when we began to write this and did not finish. */
  unfinished(path: string): boolean {
    return this.#intents.has(path);
  }

  begin(path: string): void {
    this.#intents.add(path);
    this.#append({ w: path });
  }

  set(entry: FolderEntry): void {
    this.#intents.delete(entry.path);
    this.entries.set(entry.path, entry);
    this.#append({ e: entry });
  }

  delete(path: string): void {
    this.#intents.delete(path);
    if (this.entries.delete(path)) this.#append({ x: path });
  }

  rename(from: string, to: string): void {
    move(this.entries, from, to);
    this.#append({ r: from, t: to });
  }

  clear(): void {
    this.entries.clear();
    this.#intents.clear();
    this.#compact();
  }

  [Symbol.dispose](): void {
    this.#file.close();
  }

  #append(value: unknown): void {
    // A line that was torn must not swallow this one; an empty one is nothing to a reader.
    const text = `${this.#torn ? "\n" : ""}${JSON.stringify(value)}\n`;
    this.#torn = true;
    writeAll(this.#file, text);
    this.#torn = false;
    if (++this.#lines > 2 * this.entries.size + COMPACT_SLACK) this.#compact();
  }

  #compact(): void {
    const temporary = `${this.#path}.new`;
    {
      using file = Deno.openSync(temporary, {
        write: true,
        create: true,
        truncate: true,
        mode: 0o600,
      });
      let text = "";
      for (const entry of this.entries.values()) {
        text += JSON.stringify({ e: entry }) + "\n";
        if (text.length > 256 * 1024) {
          writeAll(file, text);
          text = "";
        }
      }
      for (const path of this.#intents) text += JSON.stringify({ w: path }) + "\n";
      writeAll(file, text);
    }
    Deno.renameSync(temporary, this.#path);
    this.#file.close();
    this.#file = Deno.openSync(this.#path, { append: true });
    this.#torn = false;
    this.#lines = this.entries.size + this.#intents.size;
  }
}

function replay(text: string, entries: Map<string, FolderEntry>, intents: Set<string>): void {
  let read;
  try {
    read = line(JSON.parse(text), "");
  } catch {
    return;
  }
  if (read.e !== undefined) {
    entries.set(read.e.path, read.e);
    intents.delete(read.e.path);
  } else if (read.x !== undefined) {
    entries.delete(read.x);
    intents.delete(read.x);
  } else if (read.w !== undefined) intents.add(read.w);
  else if (read.r !== undefined && read.t !== undefined) move(entries, read.r, read.t);
}

function move(entries: Map<string, FolderEntry>, from: string, to: string): void {
  const alone = entries.get(from);
  if (alone !== undefined && alone.type !== "folder") {
    entries.delete(from);
    entries.set(to, { ...alone, path: to });
    return;
  }
  const moved: [string, FolderEntry][] = [];
  for (const [path, entry] of entries) {
    if (path !== from && !path.startsWith(`${from}/`)) continue;
    const next = to + path.slice(from.length);
    moved.push([next, { ...entry, path: next }]);
    entries.delete(path);
  }
  for (const [path, entry] of moved) entries.set(path, entry);
}

function writeAll(file: Deno.FsFile, text: string): void {
  const bytes = new TextEncoder().encode(text);
  for (let at = 0; at < bytes.length;) at += file.writeSync(bytes.subarray(at));
}
