/**
 * Folders by descriptor, and names as the kernel has them: bytes. Deno knows neither. It replaces
 * what is not UTF-8 in a name, after which the file cannot be opened any more; and a path that is
 * looked up twice may lead elsewhere the second time, when somebody (a guest that shares the folder)
 * puts a link where a folder was.
 *
 * A name that is not UTF-8 is told as a string in which each odd byte 0x80…0xFF is the lone surrogate
 * U+DC80…U+DCFF, as Python does it (PEP 383). JSON carries those unharmed, and no real name has them.
 *
 * Everything below is one step from a folder that is open: links are never followed. The rest is
 * done by Deno through /proc/self/fd, which leads to exactly the file that is open.
 */
import { errno, libc } from "./libc.ts";

const ARM = Deno.build.arch === "aarch64";
const O_DIRECTORY = ARM ? 0o40000 : 0o200000;
const O_NOFOLLOW = ARM ? 0o100000 : 0o400000;
const O_PATH = 0o10000000;
const O_CLOEXEC = 0o2000000;
const AT_FDCWD = -100;
const PATH_MAX = 4096;

export function decodeName(bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return decodeOdd(bytes);
  }
}

/** As much UTF-8 as there is, each other byte by itself. */
function decodeOdd(bytes: Uint8Array): string {
  const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  let text = "";
  for (let at = 0; at < bytes.length;) {
    const lead = bytes[at];
    const length = lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
    try {
      text += decoder.decode(bytes.subarray(at, Math.min(at + length, bytes.length)));
      at += length;
    } catch {
      text += String.fromCharCode(0xdc00 + lead);
      at++;
    }
  }
  return text;
}

/** @throws {TypeError} for what no name decodes to */
export function encodeName(name: string): Uint8Array<ArrayBuffer> {
  if (name.includes("\0")) throw new TypeError(`A name has a NUL: ${JSON.stringify(name)}`);
  const encoder = new TextEncoder();
  if (name.isWellFormed()) return encoder.encode(name);
  const bytes: number[] = [];
  for (const character of name) {
    const code = character.codePointAt(0)!;
    if (code >= 0xdc80 && code <= 0xdcff) bytes.push(code - 0xdc00);
    else if (code >= 0xd800 && code <= 0xdfff) {
      throw new TypeError(`A name has half a character: ${JSON.stringify(name)}`);
    } else bytes.push(...encoder.encode(character));
  }
  return new Uint8Array(bytes);
}

function cName(name: string): Uint8Array<ArrayBuffer> {
  const bytes = encodeName(name);
  const ended = new Uint8Array(bytes.length + 1);
  ended.set(bytes);
  return ended;
}

/** Something in a folder, held open so that it stays what it is: a file, a folder, a link. */
export class Held implements Disposable {
  readonly fd: number;
  #open = true;

  constructor(fd: number) {
    this.fd = fd;
  }

  /** Where Deno finds it. */
  get path(): string {
    return `/proc/self/fd/${this.fd}`;
  }

  /** Of a link: where it points. */
  target(): string {
    const buffer = new Uint8Array(PATH_MAX);
    const length = Number(libc("readlinkat")(this.fd, cName(""), buffer, BigInt(buffer.length)));
    if (length < 0) throw failure("read the link", this.path);
    return decodeName(buffer.subarray(0, length));
  }

  [Symbol.dispose](): void {
    if (!this.#open) return;
    this.#open = false;
    libc("close")(this.fd);
  }
}

export class Folder extends Held {
  /** `path` is looked up as usual, links followed. */
  static open(path: string): Folder {
    return new Folder(opened(AT_FDCWD, path, O_DIRECTORY));
  }

  /** @throws {Deno.errors.NotADirectory} when there is something else, a link included */
  folder(name: string): Folder {
    return new Folder(opened(this.fd, plain(name), O_DIRECTORY | O_NOFOLLOW));
  }

  /** Whatever has that name, without opening it for reading. */
  held(name: string): Held {
    return new Held(opened(this.fd, plain(name), O_PATH | O_NOFOLLOW));
  }

  /** Every name but `.` and `..`, in no order. Once per opening: the kernel remembers the place. */
  names(): string[] {
    const found: string[] = [];
    const buffer = new Uint8Array(64 * 1024);
    const view = new DataView(buffer.buffer);
    for (;;) {
      const filled = Number(libc("getdents64")(this.fd, buffer, BigInt(buffer.length)));
      if (filled < 0) throw failure("list", this.path);
      if (filled === 0) return found;
      // struct linux_dirent64: u64 inode, i64 offset, u16 length, u8 type, then the name.
      for (let at = 0; at < filled;) {
        const length = view.getUint16(at + 16, true);
        const end = buffer.indexOf(0, at + 19);
        const name = decodeName(buffer.subarray(at + 19, end));
        if (name !== "." && name !== "..") found.push(name);
        at += length;
      }
    }
  }

  makeFolder(name: string, mode: number): void {
    if (libc("mkdirat")(this.fd, cName(plain(name)), mode) < 0) throw failure("make", name);
  }

  makeLink(name: string, target: string): void {
    if (libc("symlinkat")(cName(target), this.fd, cName(plain(name))) < 0) {
      throw failure("make the link", name);
    }
  }

  /** Over whatever file has the new name. */
  rename(from: string, to: string): void {
    const [old, now] = [cName(plain(from)), cName(plain(to))];
    if (libc("renameat")(this.fd, old, this.fd, now) < 0) throw failure("rename to", to);
  }

  /** A file or link; gone already is fine. */
  remove(name: string): void {
    if (libc("unlinkat")(this.fd, cName(plain(name)), 0) < 0 && errno() !== 2) {
      throw failure("remove", name);
    }
  }
}

/** Places below a top, reached step by step; the chain of folders to the last one stays open. */
export class FolderWalk implements Disposable {
  readonly top: Folder;
  #chain: { readonly name: string; readonly folder: Folder }[] = [];

  /** Owns `top` from here on. */
  constructor(top: Folder) {
    this.top = top;
  }

  /** The folder at these names; valid until the next call. */
  at(names: readonly string[]): Folder {
    let same = 0;
    while (same < this.#chain.length && this.#chain[same].name === names[same]) same++;
    for (const { folder } of this.#chain.splice(same).reverse()) folder[Symbol.dispose]();
    for (const name of names.slice(same)) {
      this.#chain.push({ name, folder: (this.#chain.at(-1)?.folder ?? this.top).folder(name) });
    }
    return this.#chain.at(-1)?.folder ?? this.top;
  }

  /** The folder that `path` (names joined by `/`) stands in, and its last name. */
  place(path: string): { readonly folder: Folder; readonly name: string } {
    const names = path.split("/");
    const name = names.pop()!;
    return { folder: this.at(names), name };
  }

  [Symbol.dispose](): void {
    for (const { folder } of this.#chain.splice(0).reverse()) folder[Symbol.dispose]();
    this.top[Symbol.dispose]();
  }
}

/** One step, and a step down: whoever got here with another name has a defect. */
function plain(name: string): string {
  if (name === "" || name === "." || name === ".." || name.includes("/")) {
    throw new TypeError(`Not a name in a folder: ${JSON.stringify(name)}`);
  }
  return name;
}

function opened(folder: number, path: string, flags: number): number {
  const fd = libc("openat")(folder, cName(path), flags | O_CLOEXEC);
  if (fd < 0) throw failure("open", path);
  return fd;
}

const SAYS: Readonly<Record<number, string>> = {
  1: "Operation not permitted",
  2: "No such file or directory",
  13: "Permission denied",
  17: "File exists",
  20: "Not a directory",
  21: "Is a directory",
  24: "Too many open files",
  28: "No space left on device",
  30: "Read-only file system",
  36: "File name too long",
  39: "Directory not empty",
  40: "Too many levels of symbolic links",
};

/** As Deno words it, so that whoever reads these need not care where they come from. */
function failure(action: string, name: string): Error {
  const code = errno();
  const shown = name.toWellFormed();
  const text = `${SAYS[code] ?? "Failed"} (os error ${code}): ${action} '${shown}'`;
  switch (code) {
    case 2:
      return new Deno.errors.NotFound(text);
    case 1:
    case 13:
    case 30:
      return new Deno.errors.PermissionDenied(text);
    case 17:
      return new Deno.errors.AlreadyExists(text);
    case 20:
    case 40:
      return new Deno.errors.NotADirectory(text);
    default:
      return new Error(text);
  }
}
