/** Free space, asked before gigabytes are written: found and wanted in one sentence. */
import { RumError } from "../base/errors.ts";
import { formatSize } from "../base/units.ts";

/** Bytes that this user may still write on the file system of `path`'s folder. */
export async function freeBytes(path: string): Promise<number> {
  const folder = path.slice(0, path.lastIndexOf("/")) || "/";
  // Here: an import would cost each start of a daemon 40 ms, and most of them make no disk.
  const { statfs } = await import("node:fs/promises");
  const { bavail, bsize } = await statfs(folder);
  return bavail * bsize;
}

/** @throws {RumError} `disk_full` */
export async function requireFreeSpace(
  path: string,
  wanted: number,
  action: string,
): Promise<void> {
  const free = await freeBytes(path);
  if (free >= wanted) return;
  const folder = path.slice(0, path.lastIndexOf("/")) || "/";
  throw new RumError(
    "disk_full",
    `${action}: ${formatSize(wanted)} are wanted in "${folder}", and ${formatSize(free)} are free`,
    { hint: `df -h ${folder}`, data: { wanted, free } },
  );
}
