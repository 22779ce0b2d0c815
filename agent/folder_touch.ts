/**
 * Raising inotify events in the guest for changes that the host made on a shared file system.
 *
 * The kernel raises events for what goes through its own file layer, and a host's change does not.
 * There is no way to hand it an event, so something must be done in the guest that raises one and
 * changes nothing. That is: setting the modification time alone, to the value it has. Of a time set
 * alone the kernel says MODIFY (of both times ATTRIB, which many watchers skip).
 *
 * The value is asked of the host in the same breath (AT_STATX_FORCE_SYNC, to the nanosecond): the
 * guest's own idea of it may be a second old, and putting back an old time would hide a change from
 * `make`. What is gone has no name to do anything with; its folder is touched instead, after a
 * look-up that makes the guest forget the name. Creating and removing a stand-in would raise the
 * exact events, and would show on the host and race with whoever makes the real file: not done.
 */
import { cPath, errno, libc } from "../ffi/libc.ts";
import type { FolderTouchResult } from "../src/protocol/folders.ts";
import { lstat } from "./folder_place.ts";

const AT_FDCWD = -100;
const AT_SYMLINK_NOFOLLOW = 0x100;
const AT_STATX_FORCE_SYNC = 0x2000;
const STATX_MTIME = 0x40;
const STATX_SIZE = 256;
const MTIME_AT = 112;
const UTIME_OMIT = 0x3ffffffen;
const ENOENT = 2;
const ENOTDIR = 20;

export function touchAll(
  target: string,
  changes: readonly { readonly path: string; readonly gone?: boolean }[],
): FolderTouchResult {
  let touched = 0;
  let failed: string | undefined;
  const folders = new Set<string>();
  for (const { path, gone } of changes) {
    if (path.split("/").includes("..")) continue;
    const slash = path.lastIndexOf("/");
    if (gone) {
      lstat(`${target}/${path}`);
      folders.add(slash < 0 ? "" : path.slice(0, slash));
      continue;
    }
    const why = touch(path === "" ? target : `${target}/${path}`);
    if (why === undefined) touched++;
    else if (why !== "gone") failed = why;
  }
  for (const folder of folders) {
    const why = touch(folder === "" ? target : `${target}/${folder}`);
    if (why === undefined) touched++;
    else if (why !== "gone") failed = why;
  }
  return { touched, ...(failed === undefined ? {} : { failed }) };
}

/** Undefined when the event was raised. */
function touch(path: string): "gone" | string | undefined {
  const name = cPath(path);
  const found = new Uint8Array(STATX_SIZE);
  const flags = AT_SYMLINK_NOFOLLOW | AT_STATX_FORCE_SYNC;
  if (libc("statx")(AT_FDCWD, name, flags, STATX_MTIME, found) !== 0) return because(errno());
  const stat = new DataView(found.buffer);
  const times = new DataView(new ArrayBuffer(32));
  times.setBigInt64(8, UTIME_OMIT, true);
  times.setBigInt64(16, stat.getBigInt64(MTIME_AT, true), true);
  times.setBigInt64(24, BigInt(stat.getUint32(MTIME_AT + 8, true)), true);
  const bytes = new Uint8Array(times.buffer);
  if (libc("utimensat")(AT_FDCWD, name, bytes, AT_SYMLINK_NOFOLLOW) !== 0) return because(errno());
  return undefined;
}

function because(error: number): string {
  return error === ENOENT || error === ENOTDIR
    ? "gone"
    : `the guest may not set times there (error ${error})`;
}
