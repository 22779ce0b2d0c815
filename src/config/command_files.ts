/**
 * Which files of the project a command runs, as a list to approve and to compare again before every
 * run: the same function both times, so that whatever it would find otherwise is another list.
 *
 * A guest may be able to write the project. So a word is followed as the kernel would, and each link
 * inside the project that it passes is told with where it ends: there, a swapped link is another
 * command. A word that names nothing is not told, and need not be: once something stands there, it is
 * in the list, and the list is not the approved one.
 *
 * Words are also taken apart where a shell or `--option=path` would, so that `sh -c "./notify.sh up"`
 * counts. What such a program finds by itself (a file it loads, a folder it searches, a name it puts
 * together) is beyond this; `rum trust` says to keep hooks elsewhere.
 */
import * as posix from "../base/posix_path.ts";
import { fileSha256 } from "../base/sha256.ts";
import { quoted } from "./diagnostics.ts";
import type { ConfigReader } from "./host_files.ts";
import type { FileDigest } from "./types.ts";

export interface CommandFilesOptions {
  /** The project's, canonical; also where the command runs. */
  readonly folder: string;
  readonly reader: ConfigReader;
}

const PROGRAM_BYTES_MAX = 64 * 1024 * 1024;
/** As many as Linux follows. */
const LINKS_MAX = 40;

/** @throws {Error} naming a file that cannot be read */
export async function commandFiles(
  words: readonly string[],
  options: CommandFilesOptions,
): Promise<readonly FileDigest[]> {
  const pieces = new Set(
    words.flatMap((word) => [word, ...word.split(/[\s;|&<>()'"`=]+/)]).filter(nameable),
  );
  const found = new Map<string, FileDigest>();
  for (const piece of pieces) {
    for (const path of pathsOf(piece, options)) {
      const file = await programFile(path, options);
      if (file !== undefined) found.set(orderOf(file), file);
    }
  }
  return [...found].sort(([a], [b]) => a < b ? -1 : 1).map(([, file]) => file);
}

/** The first file that is in one list and not in the other, or not the same there. */
export function differingFile(
  a: readonly FileDigest[],
  b: readonly FileDigest[],
): FileDigest | undefined {
  const missing = (from: readonly FileDigest[], other: readonly FileDigest[]) =>
    from.find((file) => !other.some((each) => fileText(each) === fileText(file)));
  return missing(b, a) ?? missing(a, b);
}

/** One file of the list, as it is approved. Links are quoted: no file's name reads as another line. */
export function fileText({ path, sha256, via }: FileDigest): string {
  const where = via === undefined ? path : `${JSON.stringify(via)} -> ${JSON.stringify(path)}`;
  return sha256 === undefined ? `${where} without content` : `${where} sha256:${sha256}`;
}

/** A shell reads `~/` as the home folder, everyone else as a folder called `~`. */
function pathsOf(piece: string, { folder, reader: { home } }: CommandFilesOptions): string[] {
  const plain = piece.startsWith("/") ? piece : `${folder}/${piece}`;
  return /^~(\/|$)/.test(piece) ? [plain, home + piece.slice(1)] : [plain];
}

/**
 * What one absolute path runs of the project; undefined when that is nothing.
 *
 * @throws {Error} naming a file that cannot be read
 */
export async function programFile(
  written: string,
  { folder, reader }: CommandFilesOptions,
): Promise<FileDigest | undefined> {
  const { path, linked } = await follow(written, folder, reader);
  const inside = posix.isInside(folder, path);
  const via = linked ? { via: posix.normalize(written) } : {};
  switch (inside ? await reader.kind(path) : undefined) {
    case "file":
      return { path, sha256: await hashOf(path, reader), ...via };
    case "other":
      return { path, ...via };
    default:
      return linked ? { path, ...via } : undefined;
  }
}

/**
 * Where a path ends, and whether a link that a guest may have made had a part in that: one inside
 * `folder`, or on the way to it, where none was when that was made canonical.
 */
async function follow(
  written: string,
  folder: string,
  reader: ConfigReader,
): Promise<{ path: string; linked: boolean }> {
  const rest = written.split("/");
  let at = "/";
  let linked = false;
  for (let links = 0; rest.length > 0;) {
    const part = rest.shift()!;
    if (part === "" || part === ".") continue;
    if (part === "..") {
      at = posix.dirname(at);
      continue;
    }
    const next = posix.join(at, part);
    const target = await reader.link(next);
    if (target === undefined) {
      at = next;
      continue;
    }
    if (posix.isInside(folder, next) || posix.isInside(next, folder)) linked = true;
    // A circle: nothing can be run through it.
    if (++links > LINKS_MAX) return { path: next, linked };
    if (target.startsWith("/")) at = "/";
    rest.unshift(...target.split("/"));
  }
  return { path: at, linked };
}

async function hashOf(path: string, reader: ConfigReader): Promise<string> {
  try {
    const bytes = await reader.read(path, PROGRAM_BYTES_MAX);
    if (bytes.length > PROGRAM_BYTES_MAX) throw new Error("it is larger than 64 MiB");
    return await fileSha256(bytes);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new Error(`File ${quoted(path)} cannot be read: ${why}`, { cause });
  }
}

function orderOf({ path, via }: FileDigest): string {
  return via === undefined ? path : `${path}\0${via}`;
}

function nameable(piece: string): boolean {
  return piece !== "" && piece.length <= 4096 && !piece.includes("\0");
}
