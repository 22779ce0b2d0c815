/**
 * A folder as a value: path → entry, and what must be done to turn one into another. Pure.
 *
 * The order of the operations is what makes them applicable one by one:
 *   1  what stands in the way (a file where a folder must be, and the reverse) goes
 *   2  folders that were renamed, each after the parents of its new name; what came along with one and
 *      stands in the way goes at once
 *   3  everything else that is new or changed, parents before children; renamed files among them
 *   4  what is gone, children before parents, when nothing can be renamed out of it any more
 *
 * A rename is believed when the inode, type, size and time of something that is gone turn up under
 * another name. Anything less certain is sent whole: that is slower and never wrong.
 */

export interface Entry {
  readonly path: string;
  readonly type: "file" | "folder" | "link";
  readonly mode: number;
  readonly size: number;
  readonly mtimeMs: number;
  readonly to?: string;
  readonly ino?: number;
  /** Absent when it was too young to be told from a change right after it. */
  readonly ctimeMs?: number;
}

export type Tree = ReadonlyMap<string, Entry>;

export type Op =
  | { readonly op: "folder" | "link" | "meta" | "same"; readonly entry: Entry }
  | {
    readonly op: "file";
    readonly entry: Entry;
    /** How it came about on the host: watchers in the guest see the same kind of event. */
    readonly place: "new" | "in_place" | "replace";
  }
  | { readonly op: "rename"; readonly from: string; readonly path: string }
  | { readonly op: "remove" | "forget"; readonly path: string };

/** Beyond that a folder is made anew: each rename looks at every path once. */
const MAX_FOLDER_RENAMES = 64;
/** So many passes cost less than one that takes every path apart. */
const FEW = 4;

export interface DiffOptions {
  /** False after a rename was refused: then everything is sent as it is. */
  readonly renames?: boolean;
}

/** What turns `base` into `now`. */
export function diffTrees(base: Tree, now: Tree, options: DiffOptions = {}): Op[] {
  const ops: Op[] = [];
  let old = new Map(base);
  clearTheWay(old, now, [...now.keys()].sort(), ops);
  const made = new Set<string>();
  if (options.renames !== false) old = folderRenames(old, now, ops, made);
  const sources = options.renames === false ? new Map<number, Entry>() : renameSources(old, now);
  for (const path of [...now.keys()].sort()) {
    if (made.has(path)) continue;
    const entry = now.get(path)!;
    const before = old.get(path);
    const from = entry.type !== "file" || entry.ino === undefined || before?.ino === entry.ino
      ? undefined
      : sources.get(entry.ino);
    if (from !== undefined && sameContent(from, entry)) {
      sources.delete(entry.ino!);
      old.delete(from.path);
      ops.push({ op: "rename", from: from.path, path });
      if (from.mode !== entry.mode) ops.push({ op: "meta", entry });
      continue;
    }
    const op = change(before, entry);
    if (op !== undefined) ops.push(op);
  }
  const gone = [...old.keys()].filter((path) => !now.has(path)).sort(deepestFirst);
  for (const path of gone) ops.push({ op: "remove", path });
  return ops;
}

/** Of `paths`, what is of another type now goes, with all below it. */
function clearTheWay(
  old: Map<string, Entry>,
  now: Tree,
  paths: readonly string[],
  ops: Op[],
): void {
  const blocked = paths.filter((path) => {
    const [before, after] = [old.get(path), now.get(path)];
    return before !== undefined && after !== undefined && before.type !== after.type;
  });
  for (const path of blocked) {
    for (const gone of below(old, path).sort(deepestFirst)) {
      ops.push({ op: "remove", path: gone });
      old.delete(gone);
    }
  }
}

/** What makes one entry right; undefined when it is. */
export function change(before: Entry | undefined, entry: Entry): Op | undefined {
  if (entry.type === "folder") {
    if (before?.type !== "folder") return { op: "folder", entry };
    return before.mode === entry.mode ? undefined : { op: "meta", entry };
  }
  if (entry.type === "link") {
    return before?.type === "link" && before.to === entry.to ? undefined : { op: "link", entry };
  }
  if (before?.type !== "file") return { op: "file", entry, place: "new" };
  if (before.size !== entry.size || before.mtimeMs !== entry.mtimeMs) {
    return { op: "file", entry, place: before.ino === entry.ino ? "in_place" : "replace" };
  }
  if (before.mode !== entry.mode) return { op: "meta", entry };
  // Size and time are as they were, and yet the inode changed (or nobody knows): only the content
  // can tell.
  const touched = before.ino !== entry.ino || before.ctimeMs === undefined ||
    before.ctimeMs !== entry.ctimeMs;
  return touched ? { op: "same", entry } : undefined;
}

function sameContent(a: Entry, b: Entry): boolean {
  return a.type === b.type && a.size === b.size && a.mtimeMs === b.mtimeMs;
}

/** Files of the base that are gone, by inode; an inode with two names is nobody's. */
function renameSources(old: Tree, now: Tree): Map<number, Entry> {
  const sources = new Map<number, Entry>();
  const twice = new Set<number>();
  for (const entry of old.values()) {
    if (entry.type !== "file" || entry.ino === undefined) continue;
    if (sources.has(entry.ino)) twice.add(entry.ino);
    if (!now.has(entry.path)) sources.set(entry.ino, entry);
  }
  for (const ino of twice) sources.delete(ino);
  return sources;
}

function folderRenames(
  base: Map<string, Entry>,
  now: Tree,
  ops: Op[],
  made: Set<string>,
): Map<string, Entry> {
  let old = base;
  const news = [...now.values()]
    .filter((entry) => entry.type === "folder" && entry.ino !== undefined)
    .sort((a, b) => a.path < b.path ? -1 : 1);
  let left = MAX_FOLDER_RENAMES;
  let gone = goneFolders(old, now);
  for (const entry of news) {
    if (left === 0 || gone.size === 0) break;
    if (old.has(entry.path)) continue;
    const from = gone.get(entry.ino!);
    if (from === undefined) continue;
    left--;
    for (const parent of parents(entry.path)) {
      const folder = now.get(parent);
      if (old.has(parent) || made.has(parent) || folder === undefined) continue;
      ops.push({ op: "folder", entry: folder });
      made.add(parent);
    }
    ops.push({ op: "rename", from: from.path, path: entry.path });
    const moved = new Map<string, Entry>();
    for (const [path, each] of old) {
      const next = movedPath(path, from.path, entry.path);
      moved.set(next, next === path ? each : { ...each, path: next });
    }
    old = moved;
    // What came along may stand where something else belongs.
    clearTheWay(old, now, below(old, entry.path), ops);
    gone = goneFolders(old, now);
  }
  return old;
}

/** By inode. Made once a rename and not once a new folder: thousands of those come at a time. */
function goneFolders(old: Tree, now: Tree): Map<number, Entry> {
  const found = new Map<number, Entry>();
  for (const entry of old.values()) {
    const { type, ino, path } = entry;
    if (type !== "folder" || ino === undefined || found.has(ino) || now.has(path)) continue;
    found.set(ino, entry);
  }
  return found;
}

/** What a tree is after an operation was carried out. */
export function advance(tree: Map<string, Entry>, op: Op): void {
  switch (op.op) {
    case "remove":
    case "forget":
      tree.delete(op.path);
      return;
    case "rename":
      for (const path of below(tree, op.from)) {
        const entry = tree.get(path)!;
        tree.delete(path);
        const next = movedPath(path, op.from, op.path);
        tree.set(next, { ...entry, path: next });
      }
      return;
    default:
      tree.set(op.entry.path, op.entry);
  }
}

export function pathOf(op: Op): string {
  return "entry" in op ? op.entry.path : op.path;
}

/** A path and everything below it. */
export function below(tree: Tree, top: string): string[] {
  const found = tree.has(top) ? [top] : [];
  if (tree.get(top) !== undefined && tree.get(top)!.type !== "folder") return found;
  const prefix = `${top}/`;
  for (const path of tree.keys()) if (path.startsWith(prefix)) found.push(path);
  return found;
}

/** These and everything below them, in one pass: thousands of folders come and go at a time. */
export function belowAny(tree: Tree, tops: ReadonlySet<string>): string[] {
  if (tops.size <= FEW) return [...new Set([...tops].flatMap((top) => below(tree, top)))];
  const found: string[] = [];
  for (const path of tree.keys()) {
    if (tops.has(path) || parents(path).some((parent) => tops.has(parent))) found.push(path);
  }
  return found;
}

export function movedPath(path: string, from: string, to: string): string {
  if (path === from) return to;
  return path.startsWith(`${from}/`) ? to + path.slice(from.length) : path;
}

/** `a/b/c` → `a`, `a/b`. */
export function parents(path: string): string[] {
  const found: string[] = [];
  for (let at = path.indexOf("/"); at >= 0; at = path.indexOf("/", at + 1)) {
    found.push(path.slice(0, at));
  }
  return found;
}

export function parentOf(path: string): string {
  return path.slice(0, Math.max(0, path.lastIndexOf("/")));
}

function deepestFirst(a: string, b: string): number {
  return a < b ? 1 : a > b ? -1 : 0;
}
