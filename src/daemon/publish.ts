/**
 * The daemon's names in the file system: the socket, `rum.pid`, `daemon.json`. Everything here runs
 * under the machine's lock, which is what makes removing somebody's leftover safe.
 *
 * The socket is bound under a name of our own and renamed, so that nobody ever connects to a socket
 * that is not listening, and so that closing the listener (which unlinks the name it was bound to)
 * cannot take a successor's socket away. What stands at the socket's name and is not a dead socket
 * of ours is refused and never deleted.
 */
import { RumError } from "../base/errors.ts";
import type { MachinePaths } from "../plan/paths.ts";
import { writeFileAtomic } from "../store/atomic.ts";
import { ensureOwnFolder, fileError, readOwnFile } from "../store/ownership.ts";

export interface DaemonRecord {
  readonly pid: number;
  readonly start_time: number;
  readonly boot_id: string;
  readonly version: string;
  readonly build: string;
  readonly protocol: { readonly min: number; readonly max: number };
  readonly socket: string;
  readonly started_at: string;
}

export interface Published {
  readonly listener: Deno.UnixListener;
  readonly boundPath: string;
  /** Is the name still our socket? */
  stillOurs(): Promise<boolean>;
  /** Takes the names away that are still ours. Never throws. */
  remove(): Promise<void>;
}

/** @throws {RumError} `state_invalid` or `not_owner` for what stands at the socket's name */
export async function publishSocket(paths: MachinePaths): Promise<Published> {
  await ensureOwnFolder(paths.socketFolder, { mode: folderMode() });
  const boundPath = paths.pendingSocket(Deno.pid);
  await clearName(boundPath);
  await clearName(paths.socket);
  let listener: Deno.UnixListener;
  const before = Deno.umask(0o077);
  try {
    listener = Deno.listen({ transport: "unix", path: boundPath });
  } catch (thrown) {
    throw fileError(thrown, `Cannot listen at "${boundPath}"`);
  } finally {
    Deno.umask(before);
  }
  try {
    await Deno.chmod(boundPath, 0o600);
    await Deno.rename(boundPath, paths.socket);
  } catch (thrown) {
    listener.close();
    throw fileError(thrown, `Cannot publish "${paths.socket}"`);
  }
  const ours = await Deno.lstat(paths.socket);
  const stillOurs = async () => {
    const now = await lstat(paths.socket);
    return now !== undefined && now.ino === ours.ino && now.dev === ours.dev;
  };
  return {
    listener,
    boundPath,
    stillOurs,
    async remove() {
      if (await stillOurs().catch(() => false)) await Deno.remove(paths.socket).catch(() => {});
      await removeIfOurs(paths.pid, isOurPid);
      await removeIfOurs(paths.daemonJson, isOurRecord);
    },
  };
}

/** Called after lock and bind: whoever reads these may believe that the daemon was there. */
export async function writeRecords(paths: MachinePaths, record: DaemonRecord): Promise<void> {
  await writeFileAtomic(paths.pid, `${record.pid}\n`, { mode: 0o600 });
  await writeFileAtomic(paths.daemonJson, JSON.stringify(record) + "\n", { mode: 0o600 });
}

/** What a daemon wrote about itself; undefined when there is nothing readable. */
export async function readRecord(paths: MachinePaths): Promise<DaemonRecord | undefined> {
  try {
    const text = await readOwnFile(paths.daemonJson, { maxBytes: 64 * 1024 });
    const value = text === undefined ? undefined : JSON.parse(text);
    return Number.isSafeInteger(value?.pid) && typeof value.boot_id === "string" &&
        Number.isSafeInteger(value.start_time)
      ? value as DaemonRecord
      : undefined;
  } catch {
    return undefined;
  }
}

/** What stands at the socket's name: nothing, or a socket of ours, dead or alive. */
export async function checkSocketName(
  path: string,
  uid: number = Deno.uid() ?? 0,
): Promise<"absent" | "socket"> {
  const info = await lstat(path);
  if (info === undefined) return "absent";
  if (!info.isSocket) {
    const found = info.isSymlink ? "a symbolic link" : info.isFile ? "a regular file" : "something";
    throw new RumError(
      "state_invalid",
      `Cannot use "${path}": found ${found}, wanted the socket of the background process`,
      { hint: `ls -l ${path}` },
    );
  }
  if (info.uid !== uid) {
    throw new RumError(
      "not_owner",
      `Cannot use "${path}": the socket belongs to uid ${info.uid}, wanted ${uid}`,
      { hint: `ls -l ${path}` },
    );
  }
  return "socket";
}

/** A dead socket of ours goes; a living one is somebody who does not hold the lock. */
async function clearName(path: string): Promise<void> {
  if (await checkSocketName(path) === "absent") return;
  try {
    const conn = await Deno.connect({ transport: "unix", path });
    conn.close();
  } catch (thrown) {
    if (thrown instanceof Deno.errors.NotFound) return;
    if (thrown instanceof Deno.errors.ConnectionRefused) {
      await Deno.remove(path);
      return;
    }
    throw fileError(thrown, `Cannot find out whose socket "${path}" is`);
  }
  throw new RumError(
    "state_invalid",
    `Cannot use "${path}": another process listens there, and it is not the machine's holder`,
    { hint: `ss -xlp src ${path}` },
  );
}

async function removeIfOurs(path: string, isOurs: (text: string) => boolean): Promise<void> {
  try {
    const text = await readOwnFile(path, { maxBytes: 64 * 1024 });
    if (text !== undefined && isOurs(text)) await Deno.remove(path);
  } catch {
    // Unreadable, or gone: not for us to remove.
  }
}

function isOurPid(text: string): boolean {
  return text.trim() === String(Deno.pid);
}

function isOurRecord(text: string): boolean {
  return JSON.parse(text).pid === Deno.pid;
}

/** Root's folders may be entered by the system hypervisor's own user, see SPEC section 4. */
export function folderMode(): number {
  return Deno.uid() === 0 ? 0o711 : 0o700;
}

async function lstat(path: string): Promise<Deno.FileInfo | undefined> {
  try {
    return await Deno.lstat(path);
  } catch (thrown) {
    if (thrown instanceof Deno.errors.NotFound) return undefined;
    throw fileError(thrown, `Cannot look at "${path}"`);
  }
}
