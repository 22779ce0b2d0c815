/**
 * What of this host goes into the guest: one file, a stream, or a tree entry by entry, parents before
 * children, names as the kernel has them. Links travel as links; devices, sockets and pipes are left
 * out and named. Below its top a tree is walked by open folders, so that nobody leads us elsewhere.
 */
import { Folder, type Held } from "../../ffi/folders.ts";
import { RumError } from "../base/errors.ts";
import { printableLine } from "../base/printable.ts";
import type { FileMeta } from "../protocol/agent.ts";
import type { TreeSource } from "./agent_files.ts";

/** Large enough that the walk through the daemon is not felt, small beside the windows on the way. */
const CHUNK = 256 * 1024;
const MAX_DEPTH = 256;

export interface SourceOptions {
  /** Called with the size of each piece that was read. */
  readonly progress?: (bytes: number) => void;
  readonly leftOut?: (why: string) => void;
}

/** The bytes of a file; the buffer is used again, so each piece has to be taken before the next. */
export async function* fileContent(
  path: string,
  options: SourceOptions = {},
): AsyncGenerator<Uint8Array, void, void> {
  using file = await Deno.open(path);
  const buffer = new Uint8Array(CHUNK);
  for (;;) {
    // Whole pieces, so that blocks of zeros stay aligned and are seen as holes.
    let filled = 0;
    while (filled < CHUNK) {
      const read = await file.read(buffer.subarray(filled));
      if (read === null) break;
      filled += read;
    }
    if (filled === 0) return;
    options.progress?.(filled);
    yield buffer.subarray(0, filled);
    if (filled < CHUNK) return;
  }
}

/** @throws {RumError} `no_such_file` */
export async function localMeta(path: string): Promise<FileMeta> {
  try {
    return metaOf(await Deno.stat(path));
  } catch (cause) {
    throw localError(cause, `Cannot copy "${printableLine(path)}"`);
  }
}

/** The folder and everything in it. */
export async function* treeContent(
  path: string,
  options: SourceOptions = {},
): AsyncGenerator<TreeSource, void, void> {
  yield { entry: { path: "", meta: await localMeta(path) } };
  using top = openTop(path);
  yield* below(top, "", options, 1);
}

function openTop(path: string): Folder {
  try {
    return Folder.open(path);
  } catch (cause) {
    throw localError(cause, `Cannot copy "${printableLine(path)}"`);
  }
}

async function* below(
  folder: Folder,
  at: string,
  options: SourceOptions,
  depth: number,
): AsyncGenerator<TreeSource, void, void> {
  if (depth > MAX_DEPTH) {
    throw new RumError("invalid_params", `The tree is deeper than ${MAX_DEPTH} folders`);
  }
  for (const name of folder.names().sort()) {
    const path = at === "" ? name : `${at}/${name}`;
    try {
      using held = folder.held(name);
      const meta = await metaOfHeld(held);
      if (meta.type === "other") {
        options.leftOut?.(`"${printableLine(path)}" is a device, socket or pipe`);
        continue;
      }
      const entry = { path, meta };
      yield meta.type === "file" ? { entry, content: fileContent(held.path, options) } : { entry };
      if (meta.type !== "folder") continue;
      using inner = folder.folder(name);
      yield* below(inner, path, options, depth + 1);
    } catch (cause) {
      if (cause instanceof Deno.errors.NotFound) continue;
      throw localError(cause, `Cannot copy "${printableLine(path)}"`);
    }
  }
}

async function metaOfHeld(held: Held): Promise<FileMeta> {
  const info = await Deno.stat(held.path);
  return metaOf(info, info.isSymlink ? held.target() : undefined);
}

function metaOf(info: Deno.FileInfo, target?: string): FileMeta {
  return {
    type: info.isFile ? "file" : info.isDirectory ? "folder" : info.isSymlink ? "link" : "other",
    size: info.isFile ? info.size : 0,
    mode: (info.mode ?? 0) & 0o7777,
    mtimeMs: info.mtime?.getTime() ?? 0,
    uid: info.uid ?? 0,
    gid: info.gid ?? 0,
    ...(target === undefined ? {} : { target }),
  };
}

/** What this host said, as one of our codes. */
export function localError(cause: unknown, action: string): Error {
  if (cause instanceof RumError || !(cause instanceof Error)) {
    return cause instanceof Error ? cause : new RumError("internal", action, { cause });
  }
  if (cause instanceof Deno.errors.NotFound) {
    return new RumError("no_such_file", `${action}: it does not exist`, { cause });
  }
  if (cause instanceof Deno.errors.PermissionDenied) {
    return new RumError("permission_denied", `${action}: this user may not`, { cause });
  }
  if (/os error 28\b/.test(cause.message)) {
    return new RumError("disk_full", `${action}: this host's disk is full`, { cause });
  }
  if (/os error \d+/.test(cause.message)) {
    return new RumError("invalid_params", `${action}: ${cause.message}`, { cause });
  }
  return cause;
}
