/**
 * Whose folder, whose file, and is it what it says it is. Everything that rum keeps on disk is
 * looked at with lstat before it is used: a symbolic link, a device or somebody else's file at one
 * of our names is refused with a sentence and neither followed nor replaced (SPEC sections 4, 11).
 *
 * Deno cannot hand O_NOFOLLOW to `open`, so an open file is compared with what lstat says of its
 * name. Between the two calls only the owner of the folder could swap the file, and that is us:
 * folders are made 0700 and refused when they belong to anyone else.
 */
import { RumError } from "../base/errors.ts";

export interface FolderOptions {
  /** Default 0700. */
  readonly mode?: number;
  /** Whose it must be; default: the user of this process. Handed in by tests. */
  readonly uid?: number;
}

export interface FileOptions extends FolderOptions {
  /**
   * For disks and seeds: a system libvirt gives them to QEMU's user while the machine runs, and they
   * stay that user's when the host goes down meanwhile. It must be a regular file in a folder of ours
   * all the same. Only we can make a name there, so the file is one that we made and libvirt was told
   * to use; its new owner can change its bytes, which QEMU could from the start, but not which file
   * it is. So nothing else than such a file may be read this way: never a record, key or token.
   */
  readonly anyOwner?: boolean;
}

function currentUid(): number {
  return Deno.uid() ?? 0;
}

async function lstat(path: string): Promise<Deno.FileInfo | undefined> {
  try {
    return await Deno.lstat(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw fileError(error, `Cannot look at "${path}"`);
  }
}

/**
 * Makes `path` (and what is missing above it) or proves that it is a real folder of ours with
 * this `mode`; a folder of our own with another one gets it.
 *
 * @throws {RumError} `not_owner` when it, or the first existing folder above it, is somebody else's
 * @throws {RumError} `state_invalid` when something other than a folder has that name
 */
export async function ensureOwnFolder(path: string, options: FolderOptions = {}): Promise<void> {
  const { mode = 0o700, uid = currentUid() } = options;
  const found = await lstat(path);
  if (found !== undefined) {
    requireOwnFolder(path, found, uid);
    if (((found.mode ?? 0) & 0o777) !== mode) await Deno.chmod(path, mode);
    return;
  }
  await ensureParent(path, uid);
  try {
    await Deno.mkdir(path, { mode });
    // The umask may have taken bits that root's 0711 needs.
    await Deno.chmod(path, mode);
  } catch (error) {
    if (!(error instanceof Deno.errors.AlreadyExists)) {
      throw fileError(error, `Cannot make the folder "${path}"`);
    }
    const made = await lstat(path);
    if (made !== undefined) requireOwnFolder(path, made, uid);
  }
}

/** Parents are made private too, below something that is ours or the system's. */
async function ensureParent(path: string, uid: number): Promise<void> {
  const parent = path.slice(0, Math.max(1, path.lastIndexOf("/")));
  let info: Deno.FileInfo | undefined;
  try {
    info = await Deno.stat(parent);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) {
      throw fileError(error, `Cannot look at "${parent}"`);
    }
  }
  if (info === undefined) {
    return await ensureOwnFolder(parent, { uid, mode: uid === 0 ? 0o755 : 0o700 });
  }
  if (!info.isDirectory) {
    throw new RumError("state_invalid", `Cannot make "${path}": "${parent}" is not a folder`);
  }
  if (info.uid !== uid && info.uid !== 0) throw notOwner(parent, info.uid, uid);
}

/** @throws {RumError} as `ensureOwnFolder`, and `machine_not_found` when there is nothing */
export async function checkOwnFolder(path: string, options: FolderOptions = {}): Promise<void> {
  const found = await lstat(path);
  if (found === undefined) {
    throw new RumError("machine_not_found", `Cannot find the folder "${path}"`);
  }
  requireOwnFolder(path, found, options.uid ?? currentUid());
}

function requireOwnFolder(path: string, info: Deno.FileInfo, uid: number): void {
  if (info.isSymlink) {
    throw new RumError(
      "state_invalid",
      `Cannot use the folder "${path}": it is a symbolic link, and links are not followed here`,
      { hint: "set XDG_DATA_HOME to keep machines elsewhere" },
    );
  }
  if (!info.isDirectory) {
    throw new RumError(
      "state_invalid",
      `Cannot use "${path}": found ${kindOf(info)}, want a folder`,
    );
  }
  if (info.uid !== uid) throw notOwner(path, info.uid, uid);
}

/**
 * What stands at the name of one of our files: nothing (false) or a regular file of ours (true).
 *
 * @throws {RumError} `state_invalid` for a link, folder, device, socket; `not_owner` for somebody's
 */
export async function checkOwnFile(path: string, options: FileOptions = {}): Promise<boolean> {
  const info = await lstat(path);
  if (info === undefined) return false;
  if (!info.isFile) {
    throw new RumError(
      "state_invalid",
      `Cannot use "${path}": found ${kindOf(info)}, want a regular file`,
      { hint: `ls -ld ${path}` },
    );
  }
  const uid = options.uid ?? currentUid();
  if (info.uid === uid) return true;
  if (options.anyOwner !== true) throw notOwner(path, info.uid, uid);
  await checkOwnFolder(path.slice(0, path.lastIndexOf("/")) || "/", { uid });
  return true;
}

const SWAPS_MAX = 8;

/** Opens a regular file of ours, or undefined when there is none. Never creates, never follows. */
export async function openOwnFile(
  path: string,
  options: FileOptions & { write?: boolean } = {},
): Promise<Deno.FsFile | undefined> {
  // Whoever writes it does so by rename, and may do that between our look and our open.
  for (let attempt = 0; attempt < SWAPS_MAX; attempt++) {
    if (!await checkOwnFile(path, options)) return undefined;
    let file: Deno.FsFile;
    try {
      file = await Deno.open(path, { read: true, write: options.write === true });
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return undefined;
      throw fileError(error, `Cannot open "${path}"`);
    }
    try {
      if (await isStill(path, file)) return file;
    } catch (error) {
      file.close();
      throw error;
    }
    file.close();
  }
  throw new RumError("state_invalid", `Cannot use "${path}": it was swapped while it was opened`);
}

/** Is `path` still the very file that is open here? */
export async function isStill(path: string, file: Deno.FsFile): Promise<boolean> {
  const [named, open] = [await lstat(path), await file.stat()];
  return named !== undefined && named.isFile && named.dev === open.dev && named.ino === open.ino;
}

/** The text of a regular file of ours, or undefined; larger than `maxBytes` is refused. */
export async function readOwnFile(
  path: string,
  options: FolderOptions & { maxBytes?: number } = {},
): Promise<string | undefined> {
  const maxBytes = options.maxBytes ?? 4 * 1024 * 1024;
  using file = await openOwnFile(path, options);
  if (file === undefined) return undefined;
  const { size } = await file.stat();
  if (size > maxBytes) {
    throw new RumError("state_invalid", `Cannot read "${path}": ${size} bytes, want ≤ ${maxBytes}`);
  }
  const bytes = new Uint8Array(size);
  let at = 0;
  while (at < size) {
    const n = await file.read(bytes.subarray(at));
    if (n === null) break;
    at += n;
  }
  return new TextDecoder().decode(bytes.subarray(0, at));
}

/** A failed file call as a sentence: full disk, missing permission, or the system's own words. */
export function fileError(error: unknown, action: string): RumError {
  if (error instanceof RumError) return error;
  const code = (error as { code?: string } | null)?.code;
  if (code === "ENOSPC" || code === "EDQUOT") {
    const what = code === "EDQUOT" ? "the disk quota is used up" : "no space is left on the disk";
    return new RumError("disk_full", `${action}: ${what}`, { hint: "df -h", cause: error });
  }
  if (
    error instanceof Deno.errors.PermissionDenied || error instanceof Deno.errors.NotCapable ||
    code === "EROFS" || code === "EPERM"
  ) {
    return new RumError("permission_denied", `${action}: ${messageOf(error)}`, { cause: error });
  }
  return new RumError("internal", `${action}: ${messageOf(error)}`, { cause: error });
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function notOwner(path: string, found: number | null, wanted: number): RumError {
  return new RumError(
    "not_owner",
    `Cannot use "${path}": it belongs to uid ${found}, and this process is uid ${wanted}`,
    { hint: wanted === 0 ? "run rum as that user, without sudo" : `ls -ld ${path}` },
  );
}

function kindOf(info: Deno.FileInfo): string {
  if (info.isSymlink) return "a symbolic link";
  if (info.isDirectory) return "a folder";
  if (info.isSocket) return "a socket";
  if (info.isFifo) return "a pipe";
  if (info.isBlockDevice || info.isCharDevice) return "a device";
  return "a file";
}
