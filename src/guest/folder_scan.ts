/**
 * A host folder as a tree of entries: what is there, without following a link, without what is
 * ignored. Synchronous calls in slices (a file costs 14 µs that way, four times as much otherwise),
 * and between slices everything else has its turn. Each folder is announced before it is read.
 */
import { RumError } from "../base/errors.ts";
import { IGNORE_FILES, type IgnoreRules } from "../sync/ignore.ts";
import type { Entry } from "../sync/tree.ts";

const SLICE_MS = 8;
const MAX_IGNORE_BYTES = 256 * 1024;
/** More than that is no project folder but a disk; the memory of both sides is bounded by it. */
export const MAX_ENTRIES = 200_000;
const MAX_DEPTH = 256;
const TICK_MS = 12;

export interface ScanOptions {
  readonly rules: IgnoreRules;
  /** Before a folder is read; "" is the top. */
  readonly onFolder: (folder: string) => void;
  /** What cannot be read or named, and why. */
  readonly onSkipped: (path: string, why: string) => void;
  readonly signal?: AbortSignal;
  /** Default 200,000. */
  readonly maxEntries?: number;
}

/**
 * Adds `top` (unless it is "") and everything below it to `into`.
 *
 * @throws {RumError} `host_limit` beyond 200,000 entries; `no_such_file` when the root is missing
 */
export async function scanTree(
  root: string,
  top: string,
  into: Map<string, Entry>,
  options: ScanOptions,
): Promise<void> {
  if (top === "" && !isFolder(root)) {
    throw new RumError("no_such_file", `The shared folder ${root} is not there`, {
      hint: "rum config check",
    });
  }
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
    options.onFolder(folder);
    for (const entry of readFolder(root, folder, options)) {
      into.set(entry.path, entry);
      if (into.size > maxEntries) {
        throw new RumError(
          "host_limit",
          `The shared folder ${root} holds more than ${maxEntries} files`,
          { hint: `Name what is not needed in ${root}/.rumignore` },
        );
      }
      if (entry.type === "folder") stack.push(entry.path);
    }
  }
}

function readFolder(root: string, folder: string, options: ScanOptions): Entry[] {
  const path = folder === "" ? root : `${root}/${folder}`;
  let names: string[];
  try {
    names = [...Deno.readDirSync(path)].map((each) => each.name);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) options.onSkipped(folder, reason(error));
    return [];
  }
  for (const file of IGNORE_FILES) {
    options.rules.set(
      folder,
      file,
      names.includes(file) ? readIgnoreFile(`${path}/${file}`) : undefined,
    );
  }
  const entries: Entry[] = [];
  for (const name of names) {
    const child = folder === "" ? name : `${folder}/${name}`;
    const entry = lookAt(root, child, options);
    if (entry !== undefined) entries.push(entry);
  }
  return entries;
}

/** One path as it is now; undefined when it is gone, ignored, or nothing that can be copied. */
export function lookAt(
  root: string,
  path: string,
  { rules, onSkipped }: Pick<ScanOptions, "rules" | "onSkipped">,
): Entry | undefined {
  // Deno shows a name that is no UTF-8 with a replacement character; nobody can open it by that.
  if (path.includes("\uFFFD") && !exists(`${root}/${path}`)) {
    onSkipped(path, "its name is not UTF-8");
    return undefined;
  }
  let info: Deno.FileInfo;
  let to: string | undefined;
  try {
    info = Deno.lstatSync(`${root}/${path}`);
    if (info.isSymlink) to = Deno.readLinkSync(`${root}/${path}`);
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

function readIgnoreFile(path: string): string | undefined {
  try {
    const info = Deno.lstatSync(path);
    if (!info.isFile || info.size > MAX_IGNORE_BYTES) return undefined;
    return Deno.readTextFileSync(path);
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

function isFolder(path: string): boolean {
  try {
    return Deno.statSync(path).isDirectory;
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
