/**
 * A host folder as a tree of entries: what is there, without following a link (shared_folder.ts),
 * without what is ignored. Synchronous calls in slices (a file costs 14 µs that way, four times as much otherwise),
 * and between slices everything else has its turn. Each folder is announced before it is read.
 */
import type { Folder } from "../../ffi/folders.ts";
import { RumError } from "../base/errors.ts";
import { IGNORE_FILES, type IgnoreRules } from "../sync/ignore.ts";
import type { Entry } from "../sync/tree.ts";
import { heldRegular, isGone, type SharedFolder } from "./shared_folder.ts";

const SLICE_MS = 8;
const MAX_IGNORE_BYTES = 256 * 1024;
/** More than that is no project folder but a disk; the memory of both sides is bounded by it. */
export const MAX_ENTRIES = 200_000;
const MAX_DEPTH = 256;
const TICK_MS = 12;

export interface ScanOptions {
  readonly rules: IgnoreRules;
  /** Before a folder is read; "" is the top. `open` is it, for as long as the call lasts. */
  readonly onFolder: (folder: string, open: Folder) => void;
  /** What cannot be read or named, and why. */
  readonly onSkipped: (path: string, why: string) => void;
  readonly signal?: AbortSignal;
  /** Default 200,000. */
  readonly maxEntries?: number;
}

/**
 * Adds `top` (unless it is "") and everything below it to `into`.
 *
 * @throws {RumError} `host_limit` beyond 200,000 entries
 */
export async function scanTree(
  root: SharedFolder,
  top: string,
  into: Map<string, Entry>,
  options: ScanOptions,
): Promise<void> {
  const { maxEntries = MAX_ENTRIES } = options;
  let slice = performance.now();
  const stack = [top];
  while (stack.length > 0) {
    if (performance.now() - slice > SLICE_MS) {
      await new Promise((resolve) => setTimeout(resolve, 0));
      options.signal?.throwIfAborted();
      slice = performance.now();
    }
    const folder = stack.pop()!;
    if (folder !== "" && folder.split("/").length > MAX_DEPTH) {
      options.onSkipped(folder, `deeper than ${MAX_DEPTH} folders`);
      continue;
    }
    for (const entry of readFolder(root, folder, options)) {
      into.set(entry.path, entry);
      if (into.size > maxEntries) {
        throw new RumError(
          "host_limit",
          `The shared folder ${root.source} holds more than ${maxEntries} files`,
          { hint: `Name what is not needed in ${root.source}/.rumignore` },
        );
      }
      if (entry.type === "folder") stack.push(entry.path);
    }
  }
}

function readFolder(root: SharedFolder, folder: string, options: ScanOptions): Entry[] {
  let open: Folder;
  let names: string[];
  try {
    open = root.folder(folder);
    options.onFolder(folder, open);
    names = [...Deno.readDirSync(open.path)].map((each) => each.name);
  } catch (error) {
    if (error instanceof RumError) throw error;
    // Something else by now, which the watch on the folder above will tell.
    if (!isGone(error)) options.onSkipped(folder, reason(error));
    return [];
  }
  for (const file of IGNORE_FILES) {
    options.rules.set(
      folder,
      file,
      names.includes(file) ? readIgnoreFile(open, file) : undefined,
    );
  }
  const entries: Entry[] = [];
  for (const name of names) {
    const child = folder === "" ? name : `${folder}/${name}`;
    const entry = lookAt(open, name, child, options);
    if (entry !== undefined) entries.push(entry);
  }
  return entries;
}

/** One path, `name` in `folder`, as it is now; undefined when it is gone, ignored, or nothing that can be copied. */
export function lookAt(
  folder: Folder,
  name: string,
  path: string,
  { rules, onSkipped }: Pick<ScanOptions, "rules" | "onSkipped">,
): Entry | undefined {
  // Deno shows a name that is no UTF-8 with a replacement character; nobody can open it by that.
  const at = `${folder.path}/${name}`;
  if (path.includes("\uFFFD") && !exists(at)) {
    onSkipped(path, "its name is not UTF-8");
    return undefined;
  }
  let info: Deno.FileInfo;
  let to: string | undefined;
  try {
    info = Deno.lstatSync(at);
    if (info.isSymlink) to = Deno.readLinkSync(at);
  } catch {
    return undefined;
  }
  const type = info.isFile
    ? "file"
    : info.isDirectory
    ? "folder"
    : info.isSymlink
    ? "link"
    : undefined;
  // Sockets, pipes and devices mean something on their own host only.
  if (type === undefined || rules.ignores(path, info.isDirectory)) return undefined;
  return {
    path,
    type,
    mode: type === "link" ? 0o777 : (info.mode ?? 0) & 0o7777,
    size: type === "file" ? info.size : 0,
    mtimeMs: type === "file" ? info.mtime?.getTime() ?? 0 : 0,
    ...(to === undefined ? {} : { to }),
    ...(info.ino === null ? {} : { ino: info.ino }),
    ...(type === "file" ? settled(info) : {}),
  };
}

/**
 * A change within the clock's tick of this look would leave the same time behind. Then no time is
 * kept, and the next event makes the content be compared.
 */
function settled(info: Deno.FileInfo): { ctimeMs?: number } {
  const ctimeMs = info.ctime?.getTime();
  return ctimeMs === undefined || Date.now() - ctimeMs < TICK_MS ? {} : { ctimeMs };
}

function readIgnoreFile(folder: Folder, name: string): string | undefined {
  try {
    using held = heldRegular(folder, name);
    if (held === undefined || Deno.statSync(held.path).size > MAX_IGNORE_BYTES) return undefined;
    return Deno.readTextFileSync(held.path);
  } catch {
    return undefined;
  }
}

function exists(path: string): boolean {
  try {
    Deno.lstatSync(path);
    return true;
  } catch {
    return false;
  }
}

function reason(error: unknown): string {
  return error instanceof Deno.errors.PermissionDenied
    ? "it may not be read by this user"
    : error instanceof Error
    ? error.message
    : String(error);
}
