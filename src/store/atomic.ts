/**
 * Writing a file so that whoever reads it sees all of the old bytes or all of the new ones, also
 * after kill -9 or a power cut: a temporary file beside it, fsync, rename, fsync of the folder
 * (without the last, the rename itself may be lost). SPEC section 4.
 *
 * The temporary name carries the writer's pid, so that what a killed writer left behind can be told
 * from what a living one is about to rename.
 */
import { RumError } from "../base/errors.ts";
import { faultPoint } from "../base/fault.ts";
import { processIdentity } from "./flock.ts";
import { checkOwnFile, fileError } from "./ownership.ts";

export interface AtomicOptions {
  /** Set while the file is created, so it is never readable by others for a moment. Default 0600. */
  readonly mode?: number;
  readonly signal?: AbortSignal;
}

const TEMP = /^\.[^/]+\.(\d+)-[0-9a-f]{8}\.tmp$/;
/** A temporary file older than this is left over whatever lives under its writer's pid now. */
const TEMP_MAX_AGE_MS = 10 * 60_000;

/**
 * @throws {RumError} `disk_full`, `permission_denied`, or `state_invalid` when something other than
 * a regular file of ours has that name (it is left alone)
 */
export async function writeFileAtomic(
  path: string,
  content: string | Uint8Array,
  options: AtomicOptions = {},
): Promise<void> {
  const { mode = 0o600, signal } = options;
  signal?.throwIfAborted();
  await checkOwnFile(path);
  const cut = path.lastIndexOf("/");
  const folder = path.slice(0, cut) || "/";
  const random = crypto.getRandomValues(new Uint32Array(1))[0].toString(16).padStart(8, "0");
  const temp = `${folder}/.${path.slice(cut + 1)}.${Deno.pid}-${random}.tmp`;
  const bytes = typeof content === "string" ? new TextEncoder().encode(content) : content;
  const action = `Cannot write "${path}"`;
  const point = `write.${path.slice(cut + 1).replace(/[0-9a-f]{16,}/, "HASH")}` as const;
  let renamed = false;
  try {
    await faultPoint(`${point}.begun`);
    {
      // createNew is O_EXCL: an existing name, a dangling link included, fails instead of being used.
      using file = await Deno.open(temp, { write: true, createNew: true, mode });
      for (let at = 0; at < bytes.length;) at += await file.write(bytes.subarray(at));
      await Deno.chmod(temp, mode);
      await file.sync();
    }
    await faultPoint(`${point}.synced`);
    signal?.throwIfAborted();
    await Deno.rename(temp, path);
    renamed = true;
    await faultPoint(`${point}.renamed`);
    await syncFolder(folder);
  } catch (error) {
    if (!renamed) await Deno.remove(temp).catch(() => {});
    if (signal?.aborted && error === signal.reason) throw error;
    if (error instanceof Deno.errors.NotFound) {
      throw new RumError("state_invalid", `${action}: the folder "${folder}" is gone`, {
        cause: error,
      });
    }
    throw fileError(error, action);
  }
}

/** Makes renames, creations and removals in `folder` durable. */
export async function syncFolder(folder: string): Promise<void> {
  using handle = await Deno.open(folder, { read: true });
  await handle.sync();
}

/** Removes what killed writers left in `folder`; call it under the lock. Returns the names. */
export async function removeLeftoverTemps(folder: string): Promise<string[]> {
  const removed: string[] = [];
  for await (const entry of Deno.readDir(folder)) {
    const pid = TEMP.exec(entry.name)?.[1];
    if (pid === undefined || !entry.isFile) continue;
    const path = `${folder}/${entry.name}`;
    if (Number(pid) === Deno.pid || await isYoungAndWritten(path, pid)) continue;
    await Deno.remove(path).catch(() => {});
    removed.push(entry.name);
  }
  return removed.sort();
}

async function isYoungAndWritten(path: string, pid: string): Promise<boolean> {
  try {
    const { mtime } = await Deno.lstat(path);
    const writer = await processIdentity(Number(pid));
    // A zombie writes no more; where nobody reaps, it may stay one for long.
    if (writer === undefined || writer.zombie) return false;
    return mtime !== null && Date.now() - mtime.getTime() < TEMP_MAX_AGE_MS;
  } catch {
    return false;
  }
}
