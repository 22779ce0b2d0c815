/** What a file is, as it travels: type, mode, times, owner, and where a link points. */
import type { Held } from "../../ffi/folders.ts";
import type { FileMeta } from "../../src/protocol/agent.ts";

/** @throws {Deno.errors.NotFound} and friends */
export async function metaOf(path: string, follow: boolean): Promise<FileMeta> {
  const info = follow ? await Deno.stat(path) : await Deno.lstat(path);
  return metaFrom(info, info.isSymlink ? await Deno.readLink(path) : undefined);
}

export async function metaOfHeld(held: Held): Promise<FileMeta> {
  const info = await Deno.stat(held.path);
  return metaFrom(info, info.isSymlink ? held.target() : undefined);
}

function metaFrom(info: Deno.FileInfo, target: string | undefined): FileMeta {
  return {
    type: info.isFile ? "file" : info.isDirectory ? "folder" : info.isSymlink ? "link" : "other",
    size: info.isFile ? info.size : 0,
    mode: (info.mode ?? 0) & 0o7777,
    mtimeMs: info.mtime?.getTime() ?? 0,
    uid: info.uid ?? 0,
    gid: info.gid ?? 0,
    target,
  };
}
