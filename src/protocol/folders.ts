/**
 * What host and agent say about `sync` folders and about host changes on shared ones.
 *
 *   folder.open   host asks what it last wrote into a folder; answered in `event {entries}`, final
 *   folder.apply  header {target}, then operations as `params` records, each `file` followed by its
 *                 bytes (data / zeros …, end {sha256, bytes}), then end; final {done, refused}
 *   folder.touch  raises events in the guest for what changed on a virtiofs or 9p share
 *
 * The agent keeps what was written (the base) on the guest's own disk, because that is what must be
 * reset, lost and rolled back together with the files themselves.
 */
import {
  cText,
  flag,
  type Infer,
  integer,
  list,
  object,
  oneOf,
  optional,
  real,
  text,
} from "./shape.ts";

export const folderEntry = object({
  /** Relative to the folder's top, parts joined by `/`. */
  path: cText(4096),
  type: oneOf("file", "folder", "link"),
  mode: integer(0, 0o7777),
  size: integer(),
  mtimeMs: real(),
  /** Where a link points. */
  to: optional(cText(4096)),
  /** The host's own: its inode and when that last changed. The agent keeps them and reads nothing. */
  ino: optional(integer()),
  ctimeMs: optional(real()),
});
export type FolderEntry = Infer<typeof folderEntry>;

export const folderOpenParams = object({
  target: cText(4096),
  /** Who owns what is made; else root. */
  user: optional(cText(64)),
});
export const folderEntries = object({ entries: list(folderEntry, 1024) });
export const folderOpenResult = object({ entries: integer() });

export const FOLDER_PAGE = 256;

/**
 * folder, file, link   make it so; `place` says how a file came to be on the host
 * meta                 mode or time only
 * same                 keep it if its content has this hash, else answer `differs`
 * rename, remove       as named
 * forget               it is ignored from now on; the guest's copy stays
 */
export const folderOp = object({
  op: oneOf("folder", "file", "link", "meta", "same", "rename", "remove", "forget"),
  entry: optional(folderEntry),
  place: optional(oneOf("new", "in_place", "replace")),
  sha256: optional(text(64)),
  path: optional(cText(4096)),
  from: optional(cText(4096)),
});
export type FolderOpMessage = Infer<typeof folderOp>;

export const refusal = object({
  path: text(4096),
  /** conflict: changed in the guest too; differs: send it whole; failed: the guest could not. */
  how: oneOf("conflict", "differs", "failed"),
  why: text(1024),
});
export type Refusal = Infer<typeof refusal>;
export const MAX_REFUSALS = 1000;

export const folderApplyParams = object({
  target: cText(4096),
  user: optional(cText(64)),
});
export const folderApplyResult = object({
  done: integer(),
  refused: list(refusal, MAX_REFUSALS),
});
export type FolderApplyResult = Infer<typeof folderApplyResult>;

export const folderTouchParams = object({
  target: cText(4096),
  changes: list(
    object({ path: cText(4096), gone: optional(flag()) }),
    4096,
  ),
});
export const folderTouchResult = object({ touched: integer(), failed: optional(text(1024)) });
export type FolderTouchResult = Infer<typeof folderTouchResult>;
